"""The state directory of a local stack: keys, ports, logs, facts for other commands, and a lock."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from leadhook.command_error import CommandError
from leadhook.local.keys import Keys, keys_of, write_private
from leadhook.local.postgres import data_directory
from leadhook.local.processes import free_port, server_account

GOOGLE = "https://generativelanguage.googleapis.com"


class State:
    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.facts_file = self.directory / "local.json"
        self.keys_file = self.directory / "secrets.json"
        self._bare_marker = self.directory / "bare"
        self._ports_file = self.directory / "ports.json"
        self._data_pointer = self.directory / "postgres.path"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the directory while the block runs; the facts file is removed afterwards.

        Raises:
            CommandError: another stack runs on it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise CommandError(
                    f"a local stack runs on {self.directory} already (process {lock.read().strip() or 'unknown'}): "
                    "stop it first, or use another --state-dir"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            try:
                self.facts_file.unlink(missing_ok=True)
                yield
            finally:
                self.facts_file.unlink(missing_ok=True)

    def keep_kind(self, *, bare: bool) -> None:
        """Record at the first start whether the database is bare; later starts must match.

        Raises:
            CommandError: it is of the other kind.
        """
        if self.keys_file.exists() and bare != self._bare_marker.exists():
            kind, remedy = ("without", "omit --bare") if bare else ("with", "add --bare")
            raise CommandError(
                f"{self.directory} was created {kind} --bare, and nothing in it was changed: {remedy}, or use another "
                "--state-dir"
            )
        if bare:
            self._bare_marker.touch()
        else:
            self._bare_marker.unlink(missing_ok=True)

    def keys(self) -> Keys:
        return keys_of(self.keys_file)

    def port(self, name: str) -> int:
        """Return a free port for this process: the same as last time if it is still free."""
        known: dict[str, int] = json.loads(self._ports_file.read_text()) if self._ports_file.exists() else {}
        port = free_port(known.get(name))
        write_private(self._ports_file, json.dumps(known | {name: port}))
        return port

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def cluster_directory(self) -> Path:
        """Return Postgres's data directory, after removing data left over from a deleted state directory."""
        data = data_directory(self.directory)
        if data.parent != self.directory:
            if not self._data_pointer.exists() and data.exists():
                if data.is_symlink() or data.stat().st_uid != server_account().uid:
                    raise CommandError(f"{data} belongs to someone else: remove it, or use another --state-dir")
                shutil.rmtree(data)
            self._data_pointer.write_text(str(data))
        return data

    def write_facts(self, facts: dict[str, object]) -> None:
        write_private(self.facts_file, json.dumps(facts, indent=2) + "\n")

    def facts(self) -> dict[str, object]:
        """Read the facts of the running stack.

        Raises:
            CommandError: none runs.
        """
        # A killed supervisor leaves its facts file behind, but not its lock.
        if not self._is_held():
            raise CommandError(
                f"no local stack is running on {self.directory}: "
                f"start one with `leadhook local up --state-dir {self.directory}`"
            )
        try:
            facts: dict[str, object] = json.loads(self.facts_file.read_text())
        except FileNotFoundError:
            raise CommandError(f"the local stack on {self.directory} is still starting: try again shortly") from None
        return facts

    def _is_held(self) -> bool:
        try:
            with (self.directory / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


def service_environment(facts: dict[str, object]) -> dict[str, str]:
    """Return the environment for `leadhook serve` and the other commands on a stack with these facts.

    A bare stack has no webhook secret: `leadhook install` creates it.
    """
    url = str(facts["service_url"])
    env = {
        "SUPABASE_URL": facts["supabase_url"],
        "SUPABASE_SECRET_KEY": facts["secret_key"],
        "ADMIN_TOKENS": facts["admin_token"],
        "ADMIN_TOKEN": facts["admin_token"],
        "SERVICE_URL": url,
        "HOST": "127.0.0.1",
        "PORT": url.rpartition(":")[2],
        "DATABASE_URL": facts["database_url"],
    }
    if "webhook_secret" in facts:
        env["WEBHOOK_SECRETS"] = facts["webhook_secret"]
    if facts["gemini_url"] != GOOGLE:
        env["GEMINI_BASE_URL"] = facts["gemini_url"]
    return {name: str(value) for name, value in env.items()}


def psql_environment(facts: dict[str, object]) -> dict[str, str]:
    """Return libpq's variables: a password among the arguments of `psql` could be read by other users."""
    given = conninfo_to_dict(str(facts["database_url"]))
    names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "dbname"}
    return {name: str(given[option]) for name, option in names.items()}


def is_of_a_stack(env: Mapping[str, str]) -> bool:
    """Return whether this environment comes from `leadhook local env`; its Gemini stand-in ends with that stack."""
    names = ("SUPABASE_URL", "SERVICE_URL", "GEMINI_BASE_URL")
    return all(env.get(name, "").startswith("http://127.0.0.1:") for name in names)
