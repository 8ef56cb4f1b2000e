"""The command line: one function per command. Its module is imported when the command is called.

A command's docstring is its `--help`. `COMMANDS` repeats the first line of each, so that the list of commands imports
none of them. Commands for operators call the project's API with SUPABASE_URL and its key (`asking`); commands that
change the database use DATABASE_URL (`database`). docs/commands.md lists the exit codes and the `--json` output.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Final

from cyclopts import App, CycloptsError, UnknownCommandError
from rich.text import Text

from leadhook import __version__
from leadhook.cli.printing import make_writable, print_line
from leadhook.command_error import CommandError

COMMANDS: Final = {
    "serve": ("leadhook.cli.service:serve", "Run the service."),
    "install": ("leadhook.cli.database:install", "Install leadhook in the database."),
    "migrate": ("leadhook.cli.database:migrate", "Upgrade the database to this version of leadhook."),
    "webhooks": ("leadhook.cli.database:webhooks_app", "Install the triggers that send webhooks."),
    "uninstall": ("leadhook.cli.database:uninstall", "Remove leadhook from the database."),
    "status": ("leadhook.cli.status:status", "Show the current state on one screen."),
    "doctor": ("leadhook.cli.doctor:doctor", "Check the whole installation, and explain how to fix each problem."),
    "explain": ("leadhook.cli.explain:explain", "Show the state of one lead and the reason for it."),
    "answers": ("leadhook.cli.answers:answers", "List the newest answer of each lead, newest first."),
    "replay": ("leadhook.cli.replay:app", "Score leads again, after fresh ones."),
    "evaluate": (
        "leadhook.cli.evaluate:app",
        "Score answered leads again with another prompt or model, and report what would change.",
    ),
    "backlog": ("leadhook.cli.backlog:app", "Show or release the leads that were eligible before the installation."),
    "pause": ("leadhook.cli.admission:pause_app", "Stop claiming leads."),
    "resume": ("leadhook.cli.admission:resume", "End a pause."),
    "budget": ("leadhook.cli.admission:budget_app", "Limit the cost of leads per day."),
    "local": ("leadhook.local.commands:app", "Run a Supabase project on this machine, without Docker."),
}
"""Each command's function or app, and its line in the list."""


def _explain_misuse(error: CycloptsError) -> Text:
    """Describe the mistake and name the help page; options before the command (`--json status`) are recognised."""
    words = " ".join(["leadhook", *(error.command_chain or ())])
    text = f"leadhook: {error}"
    option, *rest = error.unused_tokens or [""]
    if isinstance(error, UnknownCommandError) and option.startswith("-") and rest:
        text = f"leadhook: options come after the command: {shlex.join([*words.split(), rest[0], option, *rest[1:]])}"
    return Text(f"{text}\nTry `{words} --help`.")


def _assemble(*, listed: bool = False) -> App:
    """Return the program: to run one command, or to list all of them without importing any."""
    program = App(
        name="leadhook",
        help="Scores the sales leads of a Supabase project with Gemini the moment they become eligible.",
        help_epilogue=(
            "Settings are environment variables or lines of a .env file in the working directory; secrets are never "
            "arguments. The README lists the settings, docs/commands.md the exit codes."
        ),
        version=__version__,
        suppress_keyboard_interrupt=False,
        result_action="return_int_as_exit_code_else_zero",
        error_formatter=_explain_misuse,
    )
    for name, (function, summary) in COMMANDS.items():
        if name == "local" and getattr(sys, "frozen", False):
            continue  # the single file has no Python, with which the local stack starts its parts
        # `help` would replace the whole help page of the command.
        program.command(function, name=name, help=summary if listed else None)
    return program


app = _assemble()


def main() -> None:
    make_writable()
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()  # here, because Python reports what fails later in its own words
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader closed the pipe, as in `leadhook status | head -1`.
        _discard_output()
        sys.exit(1)
    except OSError as error:
        # The disk of the output is full, say, or the working directory was deleted.
        _discard_output()
        about = f": {error.filename}" if error.filename else ""
        print_line(f"leadhook: {error.strerror or error}{about}", file=sys.stderr)
        sys.exit(1)
    except CommandError as error:
        print_line(f"leadhook: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _run(arguments: list[str]) -> int:
    if not set(arguments) - {"--help", "-h", "--version"}:
        listed: int = _assemble(listed=True)(arguments)
        return listed
    from leadhook.network import forget_key_log
    from leadhook.settings import read_env_file

    for warning in read_env_file(Path(".env")):
        print_line(f"leadhook: {warning}", file=sys.stderr)
    forget_key_log()
    code: int = app(arguments)
    return code


def _discard_output() -> None:
    """Python would report the same failure once more when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
