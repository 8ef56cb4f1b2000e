"""What a start imports, and the CPU time that it takes: of a command, and of the service."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App

from leadhook.cli import COMMANDS, app

SLACK = 2.0
"""A busy machine takes that much more CPU for the same work: its cores share caches and clock."""
TRIES = 4
STANDARD = {*sys.stdlib_module_names, *sys.builtin_module_names}
OF_EVERY_COMMAND = {"attr", "attrs", "cyclopts", "leadhook", "rich"}
OF_SETTINGS = {
    "annotated_types",
    "certifi",
    "dotenv",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}
OF_OPERATORS = OF_SETTINGS | {"anyio", "markdown_it", "mdurl", "pygments", "sniffio"}
LOADS = """
import sys
before = set(sys.modules)
{code}
print(*sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}))
"""


def imported(code: str) -> set[str]:
    """The packages outside the standard library that this code imports."""
    done = subprocess.run([sys.executable, "-c", LOADS.format(code=code)], capture_output=True, text=True, check=True)
    return {name for name in set(done.stdout.split()) - STANDARD if not name.startswith("_")}


def cpu_s(*arguments: str, cwd: Path) -> float:
    """User and system time of the command; the least of a few runs."""

    def run() -> float:
        child = subprocess.Popen(
            [sys.executable, "-m", "leadhook", *arguments],
            env={"PYTHONPYCACHEPREFIX": f"{cwd}/bytecode"},
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        used = os.wait4(child.pid, 0)[2]
        child.returncode = 0
        return used.ru_utime + used.ru_stime

    run()  # writes the bytecode
    return min(run() for _ in range(TRIES))


def test_the_list_of_commands_has_the_first_line_of_each() -> None:
    """It repeats them, because it must not import the commands."""

    def first_line(command: App) -> str:
        default = command.default_command
        return str(command.help or (default and default.__doc__)).partition("\n")[0]

    assert {name: first_line(app[name]) for name in COMMANDS} == {
        name: summary for name, (_, summary) in COMMANDS.items()
    }


@pytest.mark.parametrize(
    ("commands", "allowed"),
    [
        ("local", set[str]()),
        ("serve", OF_SETTINGS),
        ("status explain answers pause resume budget backlog replay evaluate", OF_OPERATORS),
    ],
)
def test_a_command_imports_nothing_that_it_may_not_need(commands: str, allowed: set[str]) -> None:
    """The HTTP client, for example, is imported when the database is asked."""
    code = f"import leadhook.cli; [leadhook.cli.app[name] for name in {commands.split()}]"
    assert imported(code) - OF_EVERY_COMMAND - allowed == set()


@pytest.mark.parametrize("arguments", ["--help", "status", "budget --help"])
def test_a_command_starts_in_three_tenths_of_a_second(arguments: str, tmp_path: Path) -> None:
    """Of CPU. `status` ends with the settings that are missing."""
    assert cpu_s(*arguments.split(), cwd=tmp_path) < 0.3 * SLACK
