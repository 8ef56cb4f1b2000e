"""A stack for these tests with the misbehaving model, and operators' commands on a project."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from tests.commands import runner
from tests.conftest import Supabase
from tests.support.application import Application
from tests.support.model import Model
from tests.support.project import Project, local_project

STATIC_HEADER = "X-Webhook-Secret: visibly-fake-static-secret"


class Operator(Protocol):
    """Runs a command in the test's own process, with SUPABASE_URL and a key alone, and no terminal."""

    def __call__(self, project: Supabase, *arguments: str, key: str | None = None) -> tuple[object, str, str]:
        """Exit code, stdout and stderr."""


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Operator:
    """In an empty directory; tests/unit/test_docs_commands.py runs the program itself."""
    run = runner(monkeypatch, capsys)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def operator(project: Supabase, *arguments: str, key: str | None = None) -> tuple[object, str, str]:
        monkeypatch.setenv("SUPABASE_URL", project.url)
        monkeypatch.setenv("SUPABASE_SECRET_KEY", key or project.secret_key)
        return run(*arguments)

    return operator


@pytest.fixture
def application(wired_supabase: Supabase) -> Iterator[Application]:
    """Of the test's own project, which has a Gemini key."""
    application = Application(wired_supabase.database.conninfo)
    application.set_keys("visibly-fake-gemini-key")
    yield application
    application.close()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """One for all tests; each gives its own leads orders."""
    model = Model(tmp_path_factory.mktemp("model"))
    yield model
    model.stop()


@pytest.fixture(scope="session")
def stack(model: Model) -> Iterator[Project]:
    """One stack for all tests that have users, tags and leads of their own."""
    settings = {"SWEEP_INTERVAL_SEC": "3600", "WEBHOOK_STATIC_HEADER": STATIC_HEADER, "LOG_LEVEL": "debug"}
    with local_project("--no-sample", model=model, **settings) as stack:
        yield stack
