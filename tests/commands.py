"""Runs a command of `leadhook` inside the test, on a store of the test's choice."""

import io
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from cyclopts import App
from pydantic_core import to_jsonable_python

from leadhook import cli
from leadhook.cli import asking
from leadhook.settings import Settings
from leadhook.store import SupabaseStore

if TYPE_CHECKING:
    from tests.sql.conftest import Sql

Outcome = tuple[object, str, str]
"""Exit code, stdout and stderr."""


class Run(Protocol):
    """Runs a command with what is typed at its terminal; None: there is no terminal."""

    def __call__(self, *arguments: str, typed: str | None = None) -> Outcome:
        """The exit code and what was printed."""


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs commands without any setting of the service in the environment."""
    for name in (*Settings.model_fields, "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name.upper(), raising=False)

    def run(*arguments: str, typed: str | None = None) -> Outcome:
        terminal = io.StringIO(typed or "")
        if typed is not None:
            monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys, "argv", ["leadhook", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code or 0, *capsys.readouterr()

    return run


def use_store(monkeypatch: pytest.MonkeyPatch, store: object) -> None:
    """Let commands ask this store instead of a project."""

    @asynccontextmanager
    async def open_store(*_: object, **__: object) -> AsyncIterator[object]:
        yield store

    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_visibly_fake")
    monkeypatch.setattr(asking, "open_store", open_store)


class SqlStore(SupabaseStore):
    """A store that calls the functions over a test's own connection, as `service_role`."""

    def __init__(self, db: "Sql") -> None:
        self._db = db

    async def _call(self, function: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = self._db.rpc(
            function, **{name: _as_json_would_be(value) for name, value in to_jsonable_python(parameters).items()}
        )
        return reply


def _as_json_would_be(value: Any) -> Any:
    """PostgREST takes a number for any kind of number."""
    return Decimal(str(value)) if isinstance(value, float) else value


def command_paths(command: App, prefix: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that can be called, with the words before it."""
    if prefix and command.default_command is not None:
        yield " ".join(prefix)
    for name in command.resolved_commands():
        if not name.startswith("-"):
            yield from command_paths(command[name], (*prefix, name))


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """`{"limit": 5, "redo": True}` as `--limit 5 --redo`."""
    words: list[str] = []
    for name, value in options.items():
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return words
