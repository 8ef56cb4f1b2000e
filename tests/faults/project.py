"""A local Supabase without a service, and the hands of its application."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from tests.canaries import BIO, secrets_of
from tests.conftest import poll
from tests.faults.model import Model
from tests.faults.process import START_S

from leadhook.local.state import service_environment

NOT_THE_CALLERS = ("GEMINI_API_KEY", "SWEEP_INTERVAL_SEC", "WEBHOOK_STATIC_HEADER", "MAX_CONCURRENCY")
KEYS = [f"visibly-fake-key-{n}" for n in range(3)]
TITLES = ("Chief pumps director", "Student", "Head of pumps", "Pump engineer")
OURS = "outbox, jobs, attempts, results, webhooks, replays, replay_leads, api_keys, pauses, budgets, costs"

Group = tuple[uuid.UUID, str]


class Project:
    """`leadhook local up --no-service`, which may be ended and started again on the same data."""

    def __init__(self, directory: Path, model: Model) -> None:
        self.directory = directory
        self.model = model
        self.facts: dict[str, Any] = {}
        self._keys: set[str] = set()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def start(self) -> None:
        """Start it, and wait until all of it answers."""
        facts_file = self.directory / "local.json"
        command = [sys.executable, "-m", "leadhook", "local", "up", f"--state-dir={self.directory}"]
        env = {name: value for name, value in os.environ.items() if name not in NOT_THE_CALLERS}
        output = self.directory / "up.log"
        with output.open("a") as log:
            self._up = subprocess.Popen(
                [*command, "--no-service", "--no-sample"],
                env=env | {"GEMINI_BASE_URL": self.model.url},
                stdout=log,
                stderr=log,
            )
        poll(lambda: facts_file.exists() or self._up.poll() is not None, output.read_text, START_S)
        assert self._up.poll() is None, output.read_text()
        self.facts = json.loads(facts_file.read_text())
        self._connection = psycopg.connect(self.facts["database_url"], autocommit=True)

    def stop(self) -> None:
        """End all of it; the data stays."""
        if self._connection is not None:
            self._connection.close()
        self._up.send_signal(signal.SIGTERM)
        self._up.wait(START_S)

    def environment(self, **settings: str) -> dict[str, str]:
        """What a service needs; PORT is that which the webhooks go to unless it is named."""
        return service_environment(self.facts) | {"SWEEP_INTERVAL_SEC": "3600", "LOG_LEVEL": "debug"} | settings

    def run(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """One statement, committed; after a crash of the server on a new connection."""
        assert self._connection is not None
        if self._connection.closed:
            self._connection = psycopg.connect(self.facts["database_url"], autocommit=True)
        cursor = self._connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *parameters: object) -> Any:
        """The first column of the first row."""
        return self.run(query, *parameters)[0][0]

    def transaction(self) -> AbstractContextManager[object]:
        """Commits at its end."""
        assert self._connection is not None
        return self._connection.transaction()

    def reset(self, *, lease_s: float = 3, renew_s: float = 1, start_limit_s: float = 1.5) -> None:
        """Forget every lead; set the lease times, short ones unless others are named."""
        self.run("truncate public.all_leads, public.lead_details, public.prompts, public.llm_response")
        self.run(f"truncate {', '.join(f'leadhook.{table}' for table in OURS.split(', '))}")
        self.set_keys(*KEYS)
        self.run(
            "update leadhook.controls set lease_s = %s, renew_s = %s, start_limit_s = %s,"
            " max_attempts = 5, backlog = 'run', sweep_phase = 'leads', sweep_after_lead = '',"
            " first_round_finished_at = clock_timestamp()",
            lease_s, renew_s, start_limit_s,
        )  # fmt: skip
        self.model.behave()
        self.model.forget()

    def set_keys(self, *keys: str) -> None:
        """Have exactly these Gemini keys."""
        self.run("delete from public.gemini_api")
        self.run("insert into public.gemini_api (api_key) select unnest(%s::text[])", list(keys))
        self._keys.update(keys)

    def secrets(self) -> set[str]:
        """What nobody may be told."""
        return self._keys | secrets_of(self.facts)

    def new_group(self) -> Group:
        """A user and a tag with a prompts row."""
        group = uuid.uuid4(), f"tag-{uuid.uuid4().hex[:8]}"
        self.run(
            "insert into public.prompts (user_id, tag, wildnet_data, scoring_criteria_and_icp, message_prompt)"
            " values (%s, %s, 'We make pumps.', 'Directors of pump makers', 'Be brief.')",
            *group,
        )
        return group

    def bring(self, count: int, group: Group | None = None, title: str | None = None) -> list[str]:
        """So many leads that become eligible with one transaction; the name of each is its id."""
        group = group or self.new_group()
        ids = [f"lead-{uuid.uuid4().hex[:12]}" for _ in range(count)]
        titles = [title or TITLES[place % len(TITLES)] for place in range(count)]
        with self.transaction():
            self.run(
                "insert into public.all_leads (lead_id, user_id, tag, scrapped)"
                " select i, %s, %s, true from unnest(%s::text[]) i",
                *group,
                ids,
            )
            self.run(
                "insert into public.lead_details (lead_id, name, title, company_name, bio)"
                " select i, i, t, 'Pump makers', %s from unnest(%s::text[], %s::text[]) l (i, t)",
                BIO,
                ids,
                titles,
            )
        return ids

    def answered(self, leads: Sequence[str]) -> set[str]:
        """Those of them that have their answer."""
        rows = self.run(
            "select r.lead_id from public.llm_response r join public.lead_details d using (lead_id)"
            " where d.sent_to_llm and r.lead_id = any (%s)",
            list(leads),
        )
        return {row[0] for row in rows}

    def held_by(self, worker_like: str) -> set[str]:
        """The leads that a worker has leased at this moment."""
        rows = self.run("select lead_id from leadhook.jobs where state = 'leased' and worker like %s", worker_like)
        return {row[0] for row in rows}

    def states(self) -> dict[str, int]:
        """How many jobs are in which state."""
        return dict(self.run("select state, count(*) from leadhook.jobs group by state"))


@contextmanager
def running(directory: Path) -> Iterator[Project]:
    """A project with its model, until the block ends."""
    model = Model(directory)
    project = Project(directory, model)
    try:
        project.start()
        try:
            yield project
        finally:
            project.stop()
    finally:
        model.stop()
