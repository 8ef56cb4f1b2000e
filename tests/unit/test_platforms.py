"""Where the local stack can't run: setup ends well, what needs the stack says why not, and its tests are skipped."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import Run, runner

ROOT = Path(__file__).parents[2]
ELSEWHERE = [("Darwin", "arm64"), ("Darwin", "x86_64"), ("Linux", "aarch64")]


@pytest.fixture(params=ELSEWHERE, ids=" ".join)
def leadhook(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    system, machine = request.param
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setenv("LEADHOOK_STACK_DIR", str(tmp_path / "stack"))
    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capsys)


def test_setup_ends_well_and_says_what_works(leadhook: Run, tmp_path: Path) -> None:
    """So `make setup` does, and `make check`, `make wheel` and the unit tests after it."""
    code, out, err = leadhook("local", "setup")
    said = " ".join((out + err).replace("│", " ").split())
    assert code == 0, said
    assert "runs on Linux x86_64 only" in said
    assert "Everything else works here" in said
    assert not (tmp_path / "stack").exists()


@pytest.mark.parametrize("command", ["up --state-dir state", "demo"])
def test_up_and_demo_say_why_not_before_anything_starts(leadhook: Run, command: str, tmp_path: Path) -> None:
    code, out, err = leadhook("local", *command.split())
    assert code == 1, out + err
    assert " ".join((out + err).split()).count("runs on Linux x86_64 only") == 1
    assert list(tmp_path.iterdir()) == []


def test_tests_of_the_stack_are_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import platform\nplatform.system = lambda: 'Darwin'\n")
    files = ["tests/stack/test_local_project.py", "tests/unit/test_class_names.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The local stack runs on Linux x86_64 only" in " ".join(done.stdout.split())
    assert " passed, " in done.stdout
    assert " skipped" in done.stdout
