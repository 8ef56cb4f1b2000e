"""A Postgres cluster: created once, run as a child process, and always stopped."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from leadhook.command_error import CommandError
from leadhook.local.binaries import Binaries
from leadhook.local.processes import Account, Child, server_account

SUPERUSER = "supabase_admin"
START_TIMEOUT_S = 60
ORPHAN_STOP_S = 30
VAR_TMP = Path("/var/tmp")  # noqa: S108 - the directory inside is made 0700 and owned by the server's account

# Settings of hosted projects that can matter; two minutes is their default statement timeout.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_preload_libraries": "pg_stat_statements",
    "max_connections": "100",
    "statement_timeout": "2min",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
}


def data_directory(state: Path) -> Path:
    """Return the data directory: inside the state directory, unless Postgres's account cannot enter that.

    Postgres does not run as root, and root's directories may be closed to others. Then the data goes to a directory
    under /var/tmp named after the state directory, so that a second start finds it.
    """
    account = server_account()
    if account.can_enter(state):
        return state / "postgres"
    return VAR_TMP / f"leadhook-{hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:16]}"


def create_cluster(binaries: Binaries, data: Path, password: str) -> None:
    """Create an empty cluster with one superuser, `supabase_admin`, and this password.

    Raises:
        CommandError: the binaries are out of reach for the server's account, or initdb failed.
    """
    account = server_account()
    if not account.can_enter(binaries.postgres.parent):
        raise CommandError(
            f"Postgres does not run as root, and the user `nobody` cannot enter {binaries.postgres.parent}: "
            "set LEADHOOK_STACK_DIR to a directory that everyone can enter, for example /var/tmp/leadhook-stack"
        )
    fresh = data.with_name(f"{data.name}.new")
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o700)
    account.own(fresh)
    with tempfile.NamedTemporaryFile("w", prefix="leadhook-") as file:
        file.write(password)
        file.flush()
        account.own(Path(file.name))
        _initdb(account, [binaries.initdb, "--pgdata", fresh, "--username", SUPERUSER, f"--pwfile={file.name}"])
    fresh.rename(data)


def _initdb(account: Account, command: list[str | Path]) -> None:
    done = subprocess.run(
        [*command, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"],
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=account.groups,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CommandError(f"initdb failed:\n{done.stderr.strip()}")


class Cluster:
    def __init__(self, binaries: Binaries, data: Path, *, port: int, password: str, log: Path) -> None:
        """Start it and wait until it answers.

        Raises:
            CommandError: it did not start.
        """
        command = [str(binaries.postgres), "-D", str(data)]
        for name, value in (SETTINGS | {"port": str(port)}).items():
            command += ["-c", f"{name}={value}"]
        self.port = port
        self._password = password
        self.child = Child(
            "postgres",
            command,
            log=log,
            account=server_account(),
            stop_signal=signal.SIGINT,
            kill_signal=signal.SIGQUIT,  # it frees its shared memory, and takes five seconds at the most
            orphan_signal=signal.SIGINT,
            cwd=Path("/"),
        )
        self._wait_until_ready()

    def conninfo(self, user: str = SUPERUSER, password: str | None = None, dbname: str = "postgres") -> str:
        return make_conninfo(
            host="127.0.0.1", port=self.port, user=user, password=password or self._password, dbname=dbname
        )

    def stop(self) -> None:
        """Stop it fast: clients are disconnected, and committed data is kept."""
        self.child.stop()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.conninfo(), connect_timeout=5).close()
            except psycopg.OperationalError:
                if self.child.returncode() is not None or time.monotonic() > deadline:
                    self.child.kill()
                    raise CommandError(f"Postgres did not start; the end of its log:\n{self.child.tail()}") from None
                time.sleep(0.02)
            else:
                return


def end_orphan(data: Path) -> None:
    """Stop a Postgres that a killed supervisor left running, and remove a stale lock file.

    Call it only while holding the lock of the state directory: then a running Postgres has lost its supervisor.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    pid = int(lock.read_text().split("\n", 1)[0])
    deadline = time.monotonic() + ORPHAN_STOP_S
    while _runs_on(pid, data):
        if time.monotonic() > deadline:
            raise CommandError(f"a Postgres from an earlier start does not stop: process {pid} on {data}")
        os.kill(pid, signal.SIGINT)
        time.sleep(0.1)
    lock.unlink(missing_ok=True)


def _runs_on(pid: int, data: Path) -> bool:
    # The pid may have been reused.
    try:
        return os.fsencode(data) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
