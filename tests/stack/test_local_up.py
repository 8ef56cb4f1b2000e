import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.conftest import ROOT, poll
from tests.support.processes import START_S, LocalStack

from leadhook.command_error import CommandError
from leadhook.local import postgres, processes
from leadhook.local.postgres import data_directory, end_orphan
from leadhook.local.state import State

# Quick to start: the service and the Gemini stand-in have tests of their own.
SMALL = ("--no-service", "--no-sample")


class Executed(LocalStack):
    program = "leadhook"


@dataclass
class Stacks:
    directory: Path
    started: list[Executed] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def start(self, *arguments: str) -> Executed:
        stack = Executed(self.directory, *SMALL, *arguments, GEMINI_BASE_URL="http://127.0.0.1:9")
        self.started.append(stack)
        return stack

    def ready(self, stack: Executed) -> dict[str, Any]:
        facts = stack.facts()
        self.seen |= set(facts["pids"].values())
        return facts

    def ended(self, stack: Executed) -> int:
        """Return its exit code, once it and all its processes have ended."""
        code = stack.wait()
        poll(lambda: not any(map(alive, self.seen)), lambda: f"left behind: {self.seen}")
        return code

    def close(self) -> None:
        """End what a failed test left, and remove data that is not in the state directory."""
        for stack in self.started:
            stack.kill()
        poll(lambda: not any(map(alive, self.seen)))
        data = data_directory(self.directory)
        if data.parent != self.directory:
            shutil.rmtree(data, ignore_errors=True)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def stacks(tmp_path: Path) -> Iterator[Stacks]:
    """A state directory of the test's own; as root, a place that Postgres's account cannot enter."""
    stacks = Stacks(tmp_path / "stack")
    yield stacks
    stacks.close()


def rows(facts: dict[str, Any], query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(facts["database_url"], autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_stack_may_end_in_any_way_and_leaves_no_process(stacks: Stacks) -> None:
    """By Ctrl-C, by SIGKILL, by the death of a child, which it names; the next start finds rows, keys and addresses."""
    process = stacks.start()
    first = stacks.ready(process)
    rows(first, "insert into public.prompts (user_id, tag) values (gen_random_uuid(), 'kept') returning id")
    process.signal(signal.SIGINT)
    assert stacks.ended(process) == 0
    assert not (stacks.directory / "local.json").exists()

    process = stacks.start()
    second = stacks.ready(process)
    assert rows(second, "select tag from public.prompts") == [("kept",)]
    assert {k: v for k, v in first.items() if k != "pids"} == {k: v for k, v in second.items() if k != "pids"}
    process.kill()
    (stacks.directory / "local.json").unlink()

    process = stacks.start()
    third = stacks.ready(process)
    os.kill(third["pids"]["gateway"], signal.SIGKILL)
    assert stacks.ended(process) == 1
    assert "gateway was killed by SIGKILL" in process.output()
    assert not (stacks.directory / "local.json").exists()


def test_a_taken_port_is_refused_before_anything_starts(stacks: Stacks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = stacks.start(f"--port={server.getsockname()[1]}")

        assert stacks.ended(process) == 1
    assert "is in use: choose another --port" in process.output()
    assert not data_directory(stacks.directory).exists()


def test_ctrl_c_while_it_starts_leaves_no_process(stacks: Stacks) -> None:
    process = stacks.start()
    poll(lambda: "postgres    ready" in process.output(), timeout_s=START_S)
    pid = (data_directory(stacks.directory) / "postmaster.pid").read_text().split()[0]
    stacks.seen.add(int(pid))
    process.signal(signal.SIGINT)

    assert stacks.ended(process) == 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stacks, dict[str, Any]]]:
    """One stack without webhooks, for tests that only look at it, and its facts."""
    stacks = Stacks(tmp_path_factory.mktemp("running") / "stack")
    process = stacks.start("--webhooks=off")
    yield stacks, stacks.ready(process)
    process.signal(signal.SIGTERM)
    assert stacks.ended(process) == 0
    stacks.close()


def test_the_facts_are_complete_and_for_their_owner_alone(running: tuple[Stacks, dict[str, Any]]) -> None:
    stacks, facts = running

    assert stat.S_IMODE((stacks.directory / "local.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((stacks.directory / "secrets.json").stat().st_mode) == 0o600
    assert list(facts) == [
        "service_url", "supabase_url", "secret_key", "service_role_key", "anon_key", "database_url", "gemini_url",
        "admin_token", "webhook_url", "webhook_secret", "pids",
    ]  # fmt: skip
    assert sorted(facts["pids"]) == ["gateway", "postgres", "postgrest", "supervisor"]
    assert facts["webhook_url"] == f"{facts['service_url']}/webhooks/leads"
    assert rows(facts, "select backlog from leadhook.controls") == [("run",)]
    assert rows(facts, "select count(*) from public.gemini_api") == [(3,)]


def test_no_secret_is_in_any_command_line(running: tuple[Stacks, dict[str, Any]]) -> None:
    """Every user of the machine can read those."""
    stacks, facts = running
    known = json.loads((stacks.directory / "secrets.json").read_text())
    secrets = [*known.values(), facts["webhook_secret"]]

    for pid in facts["pids"].values():
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert not [secret for secret in secrets if secret in command]


def test_a_second_start_on_the_same_directory_says_who_runs_there(running: tuple[Stacks, dict[str, Any]]) -> None:
    stacks, facts = running
    second = stacks.start()

    assert second.wait() == 1
    assert f"already (process {facts['pids']['supervisor']})" in second.output()
    assert rows(facts, "select 1") == [(1,)]
    assert (stacks.directory / "local.json").exists()


def test_the_environment_is_for_a_shell_to_eval(running: tuple[Stacks, dict[str, Any]]) -> None:
    """`eval "$(leadhook local env DIR)"` is all that `leadhook serve` and `leadhook replay` need."""
    stacks, facts = running
    script = (
        'eval "$("$0" -m leadhook local env "$1")" && '
        'printf "%s\\n" "$SUPABASE_URL" "$SUPABASE_SECRET_KEY" "$PORT" "$SERVICE_URL" "$ADMIN_TOKEN"'
    )
    done = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, stacks.directory], capture_output=True, text=True, check=True
    )

    url = facts["service_url"]
    assert done.stdout.split() == [
        *(facts["supabase_url"], facts["secret_key"], url.rpartition(":")[2], url, facts["admin_token"])
    ]


def test_env_without_a_running_stack_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="leadhook local up --state-dir"):
        State(tmp_path).facts()


def test_env_of_a_stack_that_was_killed_is_refused(tmp_path: Path) -> None:
    """It left its facts behind, but no one holds the directory; a running one does."""
    state = State(tmp_path)
    with state.held():
        with pytest.raises(CommandError, match="still starting"):
            state.facts()
        state.write_facts({"service_url": "http://127.0.0.1:1"})
        assert state.facts() == {"service_url": "http://127.0.0.1:1"}
    state.write_facts({"service_url": "http://127.0.0.1:1"})
    with pytest.raises(CommandError, match="no local stack is running on"):
        state.facts()


def test_a_lock_file_of_a_process_that_is_another_one_now_is_removed(tmp_path: Path) -> None:
    """After a crash of the machine the number may be anyone's; ours stands for it here."""
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n/elsewhere\n")

    end_orphan(tmp_path)

    assert not (tmp_path / "postmaster.pid").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to lend Postgres an account")
def test_root_puts_the_data_where_the_account_of_postgres_can_reach_it(tmp_path: Path) -> None:
    """Pytest's directories are closed to the user `nobody`; one that is open is used itself."""
    assert data_directory(tmp_path).parent == postgres.VAR_TMP
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        assert data_directory(Path(name)) == Path(name) / "postgres"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to lend Postgres an account")
def test_data_of_an_erased_state_directory_is_not_found_again(tmp_path: Path) -> None:
    """Its password went with the directory."""
    left = data_directory(tmp_path)
    left.mkdir()
    processes.server_account().own(left)

    State(tmp_path).cluster_directory()

    assert not left.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to lend Postgres an account")
def test_make_clean_removes_the_data_that_is_kept_elsewhere(tmp_path: Path) -> None:
    """No start would find it again without the state directory."""
    (tmp_path / ".demo").mkdir()
    data = State(tmp_path / ".demo").cluster_directory()
    data.mkdir()

    command = ["/usr/bin/env", "make", "-f", str(ROOT / "Makefile"), "clean"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    assert not data.exists()
    assert not (tmp_path / ".demo").exists()
