"""Every operator's command works with SUPABASE_URL and its key alone, while no service runs."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Final
from uuid import UUID

import pytest
from tests.commands import command_paths
from tests.conftest import Supabase, serving_supabase
from tests.stack.conftest import Operator
from tests.support.application import Application
from tests.support.databases import Databases

from leadhook.cli import app
from leadhook.local.database import Database

USER: Final = "00000000-0000-4000-8000-000000000001"
NOT_OPERATORS: Final = {"serve", "migrate", "install", "uninstall", "webhooks install"}
"""The service itself, and what installs with DATABASE_URL; beside them the local stack."""
CASES: Final[dict[str, tuple[tuple[str, ...], int]]] = {
    "status": ((), 1),
    "doctor": ((), 1),
    "explain": (("lead-1",), 0),
    "answers": (("--limit", "5"), 0),
    "evaluate": (("--tag", "nobody"), 0),
    "replay": (("--tag", "founders", "--yes", "--no-follow"), 0),
    "replay list": ((), 0),
    "replay status": (("1",), 0),
    "replay follow": (("1",), 0),
    "replay stop": (("1",), 0),
    "backlog status": ((), 0),
    "backlog release": (("--limit", "1", "--yes"), 0),
    "pause": (("--user", USER), 0),
    "pause list": ((), 0),
    "resume": (("--user", USER), 0),
    "budget set": (("5",), 0),
    "budget clear": (("--yes",), 0),
    "budget show": ((), 0),
}
"""What follows each command, and its exit code on the project below; `status` and `doctor` say that no service runs."""


@pytest.fixture(scope="module")
def project(
    databases: Databases, wired_template: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Supabase]:
    """A lead that was answered, one that is held, and a replay that was stopped."""
    for database in databases.copies(wired_template):
        with serving_supabase(database, tmp_path_factory.mktemp("postgrest")) as supabase:
            with closing(Application(database.conninfo)) as application:
                application.bring(["lead-1", "lead-2"], application.new_group(UUID(USER), "founders"))
                application.run(
                    "insert into leadhook.jobs (lead_id, user_id, tag, state)"
                    " values ('lead-1', %s, 'founders', 'done'), ('lead-2', %s, 'founders', 'held')"
                    " on conflict (lead_id) do update set state = excluded.state",
                    USER,
                    USER,
                )
                application.run(
                    "insert into leadhook.results (lead_id, run, score, response, should_contact, matched, missed,"
                    " flags, subject, message, written)"
                    " values ('lead-1', 1, 40, 'A reason', false, '{}', '{}', '{}', '', '', true)"
                )
                application.run("insert into leadhook.replays (actor, phase) values ('cli:ada', 'stopped')")
            yield supabase


def test_every_command_has_a_case() -> None:
    """A new one is an operator's, unless it is named here."""
    operators = {path for path in command_paths(app) if not path.startswith("local ")} - NOT_OPERATORS
    assert operators == set(CASES)


@pytest.mark.parametrize("command", CASES)
def test_a_command_works_without_a_service(project: Supabase, command: str, operator: Operator) -> None:
    arguments, code = CASES[command]
    ended, out, err = operator(project, *command.split(), *arguments)
    assert (ended, out != "", "Traceback" in err) == (code, True, False), err
    ended, out, err = operator(project, *command.split(), *arguments, "--json")
    assert (ended, "Traceback" in err) == (code, False), err
    assert isinstance(json.loads(out), dict)


def test_a_replay_records_who_asked(project: Supabase, operator: Operator) -> None:
    """`cli:` and the account, as the API records the token."""
    begun = json.loads(operator(project, "replay", "--lead-id", "lead-1", "--no-follow", "--json")[1])
    assert begun["actor"].startswith("cli:")
    listed = json.loads(operator(project, "replay", "list", "--limit", "1", "--json")[1])
    assert listed["replays"][0]["replay_id"] == begun["replay_id"]
