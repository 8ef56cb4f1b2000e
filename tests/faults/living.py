"""A Supabase project that was there before leadhook, and the commands that a user takes leadhook in and out by."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from tests.canaries import BIO, assert_untold, records
from tests.conftest import Supabase, sending_webhooks, serving_supabase
from tests.faults.model import Model
from tests.faults.process import Service

from leadhook.local.database import Database
from leadhook.local.pgnet import PAUSE_S
from leadhook.local.processes import free_port

EXISTING = {path.stem: path for path in sorted((Path(__file__).parents[1] / "sql/existing").glob("*.sql"))}
TITLES = ("Chief pumps director", "Student", "Head of pumps", "Pump engineer")
USER = uuid.UUID("00000000-0000-4000-8000-000000000001")


@dataclass(frozen=True)
class Living:
    """PostgREST, the gateway and pg_net's stand-in on a database of somebody's own, and the model; no service yet."""

    supabase: Supabase
    model: Model
    directory: Path
    connection: psycopg.Connection[tuple[Any, ...]]
    service_port: int

    @property
    def database(self) -> Database:
        """The project's."""
        return self.supabase.database

    @property
    def webhook_url(self) -> str:
        """Where the service will listen."""
        return f"http://127.0.0.1:{self.service_port}/webhooks/leads"

    def run(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """One statement of the application, committed."""
        cursor = self.connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *parameters: object) -> Any:
        """The first column of the first row."""
        return self.run(query, *parameters)[0][0]

    def leadhook(self, *words: str) -> str:
        """A command of the program, as a user runs it; its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "leadhook", *words],
            env=os.environ
            | {
                "DATABASE_URL": self.database.conninfo,
                "SUPABASE_URL": self.supabase.url,
                "SUPABASE_SECRET_KEY": self.supabase.secret_key,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serve(self, secret: str, **settings: str) -> Iterator[Service]:
        """The service on the port that is webhooks at, up and with its first look behind it, until the block ends."""
        environment = {
            "SUPABASE_URL": self.supabase.url,
            "SUPABASE_SECRET_KEY": self.supabase.secret_key,
            "WEBHOOK_SECRETS": secret,
            "PORT": str(self.service_port),
            "GEMINI_BASE_URL": self.model.url,
            "LOG_LEVEL": "debug",
        }
        service = Service(environment | settings, self.directory / "service.log")
        try:
            yield service.wait_until_up()
        finally:
            service.kill()
        assert_untold({secret, self.supabase.secret_key}, [service.log], records(self.run))

    def prompts(self, tag: str) -> None:
        """Somebody presses run."""
        self.run(
            "insert into public.prompts (user_id, tag, wildnet_data, scoring_criteria_and_icp, message_prompt)"
            " values (%s, %s, 'We make pumps.', 'Directors of pump makers', 'Be brief.')",
            USER,
            tag,
        )

    def bring(self, leads: Sequence[str], tag: str, *, rows_each: int = 1) -> None:
        """Leads that become eligible with one transaction, if their tag has its prompts; the name of each is its id."""
        titles = [TITLES[place % len(TITLES)] for place in range(len(leads))]
        with self.connection.transaction():
            for _ in range(rows_each):
                self.run(
                    "insert into public.all_leads (lead_id, user_id, tag, scrapped)"
                    " select i, %s, %s, true from unnest(%s::text[]) as i",
                    USER, tag, list(leads),
                )  # fmt: skip
                self.run(
                    "insert into public.lead_details (lead_id, name, title, company_name, bio, sent_to_llm)"
                    " select i, i, t, 'Pump makers', %s, false from unnest(%s::text[], %s::text[]) as l (i, t)",
                    BIO, list(leads), titles,
                )  # fmt: skip

    def load(self, count: int, tag: str) -> None:
        """So many leads from before, `<tag>-00001` on."""
        self.bring([f"{tag}-{number:05}" for number in range(1, count + 1)], tag)
        self.run("analyze public.all_leads, public.lead_details")

    def states(self) -> dict[str, int]:
        """How many jobs are in which state."""
        return dict(self.run("select state, count(*) from leadhook.jobs group by state"))

    def answered(self, like: str) -> int:
        """How many leads whose id is like this have their answer."""
        count: int = self.value(
            "select count(distinct r.lead_id) from public.llm_response as r"
            " join public.lead_details as d using (lead_id) where d.sent_to_llm and r.lead_id like %s",
            like,
        )
        return count


def secret_in(output: str) -> str:
    """The secret of the webhooks, which installers print for the service's environment."""
    found = re.search(r"^WEBHOOK_SECRETS=(whsec_\S+)$", output, re.MULTILINE)
    assert found, output
    return found[1]


@contextmanager
def living(database: Database, model: Model, directory: Path) -> Iterator[Living]:
    """A project in use: its tables are still to be made."""
    model.behave()
    model.forget()
    with (
        serving_supabase(database, directory) as supabase,
        sending_webhooks(database, PAUSE_S),
        database.connect() as connection,
    ):
        yield Living(supabase, model, directory, connection, free_port())
