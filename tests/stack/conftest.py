"""The whole product, running: Postgres, PostgREST, the stand-ins and the service, a process each."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import psycopg
import pytest
from tests.canaries import BIO, assert_untold, records, secrets_of
from tests.faults.model import Model

if TYPE_CHECKING:
    from tests.conftest import WaitUntil

START_S = 150
NOT_THE_CALLERS = ("GEMINI_API_KEY", "GEMINI_BASE_URL", "SWEEP_INTERVAL_SEC", "WEBHOOK_STATIC_HEADER")


@dataclass(frozen=True)
class Stack:
    """A running stack, and the hands of its application."""

    facts: dict[str, Any]
    connection: psycopg.Connection[tuple[Any, ...]]
    wait_until: "WaitUntil"
    directory: Path

    def run(self, query: str, *parameters: object, **named: object) -> list[tuple[Any, ...]]:
        """One statement of the application, committed."""
        cursor = self.connection.execute(query.encode(), parameters or named or None)
        return cursor.fetchall() if cursor.description else []

    def new_group(self) -> tuple[uuid.UUID, str]:
        """A user and a tag with a prompts row."""
        user, tag = uuid.uuid4(), f"tag-{uuid.uuid4().hex[:8]}"
        self.run(
            "insert into public.prompts (user_id, tag, wildnet_data, scoring_criteria_and_icp, message_prompt)"
            " values (%s, %s, 'We make pumps.', 'Directors of pump makers', 'Be brief.')",
            user,
            tag,
        )
        return user, tag

    def bring(self, lead_ids: Sequence[str], group: tuple[uuid.UUID, str], **details: object) -> None:
        """Leads that become eligible with this transaction."""
        columns = {"name": "Jane Doe", "title": "Director", "company_name": "Acme Pumps", "bio": BIO} | details
        names = ", ".join(columns)
        with self.connection.transaction():
            self.run(
                "insert into public.all_leads (lead_id, user_id, tag, scrapped)"
                " select i, %s, %s, true from unnest(%s::text[]) i",
                *group,
                list(lead_ids),
            )
            self.run(
                f"insert into public.lead_details (lead_id, {names})"  # noqa: S608 - names of columns from the test
                f" select i, {', '.join(['%s'] * len(columns))} from unnest(%s::text[]) i",
                *columns.values(),
                list(lead_ids),
            )

    def answered(self, lead_ids: Sequence[str]) -> set[str]:
        """Those of them that have their answer."""
        rows = self.run(
            "select r.lead_id from public.llm_response r join public.lead_details d using (lead_id)"
            " where d.sent_to_llm and r.lead_id = any (%s)",
            list(lead_ids),
        )
        return {row[0] for row in rows}

    def wait_for_answers(self, lead_ids: Sequence[str], timeout_s: float = 60) -> None:
        """Until each of them is answered."""
        self.wait_until(
            lambda: len(self.answered(lead_ids)) == len(lead_ids),
            lambda: f"not answered: {set(lead_ids) - self.answered(lead_ids)}\n{self.log_tail()}",
            timeout_s,
        )

    def jobs(self, lead_ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """State, error code and reason of each."""
        rows = self.run(
            "select lead_id, state, error_code, reason from leadhook.jobs where lead_id = any (%s)", list(lead_ids)
        )
        return {row[0]: row[1:] for row in rows}

    def get(self, url: str, *, method: str = "GET", body: object = None, token: str | None = None) -> Any:
        """A JSON request to the service or a stand-in."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        with urlopen(Request(url, data=data, method=method, headers=headers), timeout=10) as reply:  # noqa: S310 - ours
            text = reply.read()
        return json.loads(text) if text else None

    def model_calls(self) -> list[dict[str, Any]]:
        """What the Gemini stand-in was asked, oldest first."""
        calls: list[dict[str, Any]] = self.get(f"{self.facts['gemini_url']}/calls")
        return calls

    def log_tail(self) -> str:
        """The end of the service's log, for the words of a failure."""
        return "\n".join((self.directory / "service.log").read_text().splitlines()[-20:])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A Gemini that misbehaves on order, for a stack whose GEMINI_BASE_URL names it."""
    model = Model(tmp_path_factory.mktemp("model"))
    yield model
    model.stop()


StartStack = Callable[..., AbstractContextManager[Stack]]


@pytest.fixture(scope="session")
def start_stack(wait_until: "WaitUntil") -> StartStack:
    """`leadhook local up` in a directory of its own, with these arguments and settings, for the time of a block."""

    @contextmanager
    def start(*arguments: str, **settings: str) -> Iterator[Stack]:
        with tempfile.TemporaryDirectory(prefix="leadhook-stack-") as directory:
            # As root, Postgres's account must get in, or its data would be kept elsewhere.
            Path(directory).chmod(0o711)
            facts_file = Path(directory) / "local.json"
            environment = {name: value for name, value in os.environ.items() if name not in NOT_THE_CALLERS}
            command = [sys.executable, "-m", "leadhook", "local", "up", f"--state-dir={directory}", *arguments]
            output = Path(directory) / "up.log"
            with output.open("w") as log:
                process = subprocess.Popen(command, env=environment | settings, stdout=log, stderr=log)
            try:
                wait_until(lambda: facts_file.exists() or process.poll() is not None, output.read_text, START_S)
                assert process.poll() is None, output.read_text()
                facts = json.loads(facts_file.read_text())
                with psycopg.connect(facts["database_url"], autocommit=True) as connection:
                    stack = Stack(facts, connection, wait_until, Path(directory))
                    yield stack
                    bare = stack.run("select to_regnamespace('leadhook')") == [(None,)]
                    kept = "" if bare else records(stack.run)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(START_S)
            service_log = Path(directory) / "service.log"
            assert_untold(secrets_of(facts), [service_log] if service_log.exists() else [], kept)

    return start
