import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import PATIENCE_S, binaries, poll
from tests.support.clusters import PASSWORD, RUN_DIRECTORY, copy_cluster

from leadhook.command_error import CommandError
from leadhook.local.postgres import Cluster
from leadhook.local.processes import Child, Supervisor, free_port

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("started", flush=True)
time.sleep(600)
"""
SUPERVISOR = f"""
import sys
from contextlib import suppress
from pathlib import Path
from leadhook.local.processes import Child
from leadhook.local.processes import Stopped, Supervisor

log = Path(sys.argv[1])
with suppress(Stopped), Supervisor(lambda line: print(line, flush=True)) as supervisor:
    child = supervisor.add(Child("stubborn", [sys.executable, "-c", {STUBBORN!r}], log=log, grace_s=120))
    supervisor.wait_for(child, lambda: "started" in log.read_text())
    print("watching", flush=True)
    supervisor.watch()
"""


def sleeper(log: Path, seconds: float = 600) -> Child:
    script = f"import time; print('last words', flush=True); time.sleep({seconds})"
    return Child("sleeper", [sys.executable, "-c", script], log=log)


def test_a_second_signal_kills_at_once(tmp_path: Path) -> None:
    """A child with two minutes of grace that ignores the first one does not hold up the person at the terminal."""
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "watching\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopping stubborn\n"
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "killing stubborn\n"
        assert process.wait(PATIENCE_S) == 0
    assert time.monotonic() - asked < 60


def test_a_postgres_that_is_killed_leaves_no_shared_memory() -> None:
    """Its data may be removed next, and no later start of it would free the memory."""
    data = Path(os.environ[RUN_DIRECTORY]) / "killed"
    copy_cluster(binaries(), data)
    cluster = Cluster(binaries(), data, port=free_port(), password=PASSWORD, log=data.with_suffix(".log"))
    segment = (data / "postmaster.pid").read_text().splitlines()[6].split()[1]
    assert segment in shared_memory()
    cluster.child.kill()
    assert segment not in shared_memory()


def shared_memory() -> set[str]:
    """The ids of the segments of shared memory on this machine."""
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()}


def test_children_end_youngest_first(tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor(said.append) as supervisor:
        for name in ("postgres", "service"):
            child = sleeper(tmp_path / name)
            child.name = name
            supervisor.add(child)

    assert said == ["stopping service", "stopping postgres"]


def test_waiting_for_a_child_that_died_shows_its_last_words(tmp_path: Path) -> None:
    with Supervisor(lambda _: None) as supervisor, pytest.raises(CommandError, match=r"(?s)code 0.*last words"):
        supervisor.wait_for(supervisor.add(sleeper(tmp_path / "log", 0)), lambda: False, timeout_s=600)


def test_waiting_for_a_child_that_takes_too_long_ends(tmp_path: Path) -> None:
    with Supervisor(lambda _: None) as supervisor, pytest.raises(CommandError, match="not ready within 0 s"):
        supervisor.wait_for(supervisor.add(sleeper(tmp_path / "log")), lambda: False, timeout_s=0)


def test_a_program_that_fails_shows_its_error_output() -> None:
    with Supervisor(lambda _: None) as supervisor, pytest.raises(CommandError, match=r"(?s)code 3.*what went wrong"):
        supervisor.run([sys.executable, "-c", "import sys; print('what went wrong', file=sys.stderr); sys.exit(3)"], {})


def test_logs_are_for_their_owner_alone(tmp_path: Path) -> None:
    """They may name leads."""
    child = sleeper(tmp_path / "log")
    poll(lambda: "last words" in child.tail())
    child.stop()

    assert (tmp_path / "log").stat().st_mode & 0o077 == 0
