"""docs/commands.md has every command, and the exit codes that they end with."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.commands import command_paths, runner

from leadhook.cli import app
from leadhook.local.processes import free_port

PAGE: Final = (Path(__file__).parents[2] / "docs/commands.md").read_text()
CODES: Final = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
NOWHERE: Final = f"postgresql://postgres:visibly-fake@127.0.0.1:{free_port()}/postgres"
ENDS: Final[dict[int, list[tuple[tuple[str, ...], dict[str, str]]]]] = {
    0: [(("--version",), {}), (("backlog", "release", "--help"), {})],
    1: [
        (("migrate",), {"DATABASE_URL": NOWHERE}),
        (("status",), {"SUPABASE_URL": f"http://127.0.0.1:{free_port()}", "SUPABASE_SECRET_KEY": "visibly-fake"}),
        (
            ("replay", "follow", "1"),
            {"SUPABASE_URL": f"http://127.0.0.1:{free_port()}", "SUPABASE_SECRET_KEY": "visibly-fake"},
        ),
    ],
    2: [
        (("nope",), {}),
        (("status", "--nope"), {}),
        (("serve",), {}),
        (("explain", "a"), {}),
        (("evaluate",), {}),
        (("replay", "--all"), {}),
        (("pause", "--tag", "a"), {}),
    ],
}


def test_the_page_has_every_command_once() -> None:
    documented = re.findall(r"^\| `leadhook ([a-z ]+)` \|", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted(command_paths(app))


@pytest.mark.parametrize(
    ("code", "arguments", "settings"),
    [(code, *call) for code, calls in ENDS.items() for call in calls],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_ends_with_the_code_of_the_page(
    code: int,
    arguments: tuple[str, ...],
    settings: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With no other setting."""
    assert code in CODES
    leadhook = runner(monkeypatch, capsys)
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    ended, _, err = leadhook(*arguments)
    assert ended == code, err


@pytest.mark.parametrize("code", ENDS)
def test_the_program_ends_with_the_code_of_its_command(code: int, tmp_path: Path) -> None:
    arguments, settings = ENDS[code][0]
    command = [sys.executable, "-m", "leadhook", *arguments]
    done = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
