"""Where the local stack can't run: setup ends well, what needs the stack says why not, and its tests are skipped."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=[("Darwin", "arm64"), ("Darwin", "x86_64"), ("Linux", "aarch64")])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """What makes Python take this machine for another one."""
    system, machine = request.param
    (tmp_path / "sitecustomize.py").write_text(
        f"import platform\nplatform.system = lambda: {system!r}\nplatform.machine = lambda: {machine!r}\n"
    )
    return os.environ | {"PYTHONPATH": str(tmp_path), "LEADHOOK_STACK_DIR": str(tmp_path / "stack")}


def run(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Exit code and output of a Python program."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, " ".join((done.stdout + done.stderr).replace("│", " ").split())


def test_setup_ends_well_and_says_what_works(environment: dict[str, str], tmp_path: Path) -> None:
    """So `make setup` does, and `make check`, `make wheel` and the unit tests after it."""
    code, said = run(environment, "leadhook", "local", "setup")
    assert code == 0, said
    assert "runs on Linux x86_64 only" in said
    assert "Everything else works here" in said
    assert not (tmp_path / "stack").exists()


def test_up_and_demo_say_why_not_before_anything_starts(environment: dict[str, str], tmp_path: Path) -> None:
    """Exit code 1, one sentence, no directory."""
    for command in (["up", "--state-dir", str(tmp_path / "state")], ["demo"]):
        code, said = run(environment, "leadhook", "local", *command)
        assert code == 1, said
        assert said.count("runs on Linux x86_64 only") == 1
        assert "Traceback" not in said
    assert not (tmp_path / "state").exists()


def test_tests_of_the_stack_are_skipped_with_the_reason(environment: dict[str, str]) -> None:
    """Those of the units run."""
    files = ["tests/stack/test_local_project.py", "tests/unit/test_webhook_signature.py"]
    code, said = run(environment, "pytest", "-q", "-p", "no:cacheprovider", *files)
    assert code == 0, said
    assert "The local stack runs on Linux x86_64 only" in said
    assert " passed, " in said
    assert " skipped" in said
