"""The binary of `make binary` needs nothing but itself: in an empty directory without Python it migrates and serves."""

import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import poll
from tests.support.model import Model
from tests.support.project import KEYS, Project, local_project

from leadhook import __version__
from leadhook.local.processes import free_port

BINARY = os.environ.get("LEADHOOK_BINARY", "")
DEADLINE_S = 60

pytestmark = pytest.mark.skipif(not BINARY, reason="needs minutes to be built: `make binary`")


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    model = Model(tmp_path_factory.mktemp("model"))
    try:
        with local_project("--bare", model=model) as project:
            yield project
    finally:
        model.stop()


def run(program: Path, *words: str, **env: str) -> str:
    """Run the program in its own directory, with no environment but `env`; what it prints."""
    command = [str(program), *words]
    done = subprocess.run(
        command, cwd=program.parent, env=env, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def is_alive(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=DEADLINE_S) as answer:  # noqa: S310 - ours
            return bool(answer.read() == b'{"ok":true}')
    except OSError:
        return False


def test_binary_answers_a_lead_in_an_empty_directory_without_python(project: Project, tmp_path: Path) -> None:
    """From a project without leadhook to a saved answer, and SIGTERM ends it."""
    (tmp_path / "empty").mkdir()
    program = Path(shutil.copy(BINARY, tmp_path / "empty"))
    assert run(program, "--version").strip() == __version__
    assert "replay" in run(program, "--help")
    run(program, "migrate", DATABASE_URL=project.facts["database_url"])
    project.set_keys(KEYS[0])
    lead = project.bring(1)
    port = free_port()
    env = project.environment(PORT=str(port), GEMINI_BASE_URL=project.model.url)
    with (tmp_path / "log").open("wb") as log:
        service = subprocess.Popen([str(program), "serve"], cwd=program.parent, env=env, stdout=log, stderr=log)

        def tail() -> str:
            return (tmp_path / "log").read_text()[-5000:]

        try:
            poll(lambda: is_alive(f"http://127.0.0.1:{port}"), tail, DEADLINE_S)
            project.wait_for_answers(lead, DEADLINE_S, tail)
        finally:
            service.send_signal(signal.SIGTERM)
            code = service.wait(DEADLINE_S)
    assert code in {0, -signal.SIGTERM, 128 + signal.SIGTERM}, tail()
    assert [file.name for file in program.parent.iterdir()] == ["leadhook"]
