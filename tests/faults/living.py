"""A Supabase project that was there before leadhook, and the commands that a user takes leadhook in and out by."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.canaries import assert_no_canaries, records
from tests.conftest import Supabase, sending_webhooks, serving_supabase
from tests.support.application import Application
from tests.support.model import Model
from tests.support.processes import Service, run_leadhook

from leadhook.local.database import Database
from leadhook.local.pgnet import PAUSE_S
from leadhook.local.processes import free_port

EXISTING = {path.stem: path for path in sorted((Path(__file__).parents[1] / "sql/existing").glob("*.sql"))}
USER = uuid.UUID("00000000-0000-4000-8000-000000000001")


class Living(Application):
    """PostgREST, the gateway and pg_net's stand-in on someone's own database, and the model; no service yet."""

    def __init__(self, supabase: Supabase, model: Model, directory: Path) -> None:
        super().__init__(supabase.database.conninfo)
        self.supabase = supabase
        self.model = model
        self.directory = directory
        self._port = free_port()

    @property
    def database(self) -> Database:
        return self.supabase.database

    @property
    def webhook_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/webhooks/leads"

    def leadhook(self, *words: str) -> str:
        """Run a command as a user would; return its standard output."""
        done = run_leadhook(
            *words,
            settings={
                "DATABASE_URL": self.database.conninfo,
                "SUPABASE_URL": self.supabase.url,
                "SUPABASE_SECRET_KEY": self.supabase.secret_key,
            },
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serve(self, secret: str, **settings: str) -> Iterator[Service]:
        """Run the service where the webhooks go during the block; yield it once it claims leads."""
        environment = {
            "SUPABASE_URL": self.supabase.url,
            "SUPABASE_SECRET_KEY": self.supabase.secret_key,
            "WEBHOOK_SECRETS": secret,
            "PORT": str(self._port),
            "GEMINI_BASE_URL": self.model.url,
            "LOG_LEVEL": "debug",
        }
        service = Service(environment | settings, self.directory / "service.log")
        try:
            yield service.wait_until_up()
        finally:
            service.kill()
        assert_no_canaries({secret, self.supabase.secret_key}, [service.log], records(self.run))

    def load(self, count: int, tag: str) -> None:
        """Bring leads from before leadhook: `<tag>-00001` and so on."""
        self.bring([f"{tag}-{number:05}" for number in range(1, count + 1)], (USER, tag))
        self.run("analyze public.all_leads, public.lead_details")

    def count_answered(self, like: str) -> int:
        """Count the answered leads whose id is like this."""
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
    """Run a project without tables during the block."""
    model.behave()
    model.forget()
    with serving_supabase(database, directory) as supabase, sending_webhooks(database, PAUSE_S):
        project = Living(supabase, model, directory)
        try:
            yield project
        finally:
            project.close()
