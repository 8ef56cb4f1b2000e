"""The command line: one function per command. Its module is imported when the command is called.

A command's docstring is its `--help`; its first line is the entry in the list of commands. Commands for operators call
the project's API with SUPABASE_URL and its key (`asking`); commands that change the database use DATABASE_URL
(`database`). docs/commands.md lists the exit codes and the `--json` output.
"""

import os
import shlex
import sys
from pathlib import Path

from cyclopts import App, CycloptsError, UnknownCommandError
from rich.text import Text

from leadhook import __version__
from leadhook.cli.printing import make_writable, print_line
from leadhook.command_error import CommandError
from leadhook.network import forget_key_log
from leadhook.settings import read_env_file

app = App(
    name="leadhook",
    help="Scores the sales leads of a Supabase project with Gemini the moment they become eligible.",
    help_epilogue=(
        "Settings are environment variables or lines of a .env file in the working directory; secrets are never "
        "arguments. The README lists the settings, docs/commands.md the exit codes."
    ),
    version=__version__,
    suppress_keyboard_interrupt=False,
    result_action="return_int_as_exit_code_else_zero",
)

app.command("leadhook.cli.service:serve", name="serve")
app.command("leadhook.cli.database:install", name="install")
app.command("leadhook.cli.database:migrate", name="migrate")
app.command("leadhook.cli.database:webhooks_app", name="webhooks")
app.command("leadhook.cli.database:uninstall", name="uninstall")
app.command("leadhook.cli.status:status", name="status")
app.command("leadhook.cli.doctor:doctor", name="doctor")
app.command("leadhook.cli.explain:explain", name="explain")
app.command("leadhook.cli.answers:answers", name="answers")
app.command("leadhook.cli.replay:app", name="replay")
app.command("leadhook.cli.evaluate:app", name="evaluate")
app.command("leadhook.cli.backlog:app", name="backlog")
app.command("leadhook.cli.admission:pause_app", name="pause")
app.command("leadhook.cli.admission:resume", name="resume")
app.command("leadhook.cli.admission:budget_app", name="budget")
app.command("leadhook.local.commands:app", name="local")


def _explain_misuse(error: CycloptsError) -> Text:
    """Describe the mistake and name the help page; options before the command (`--json status`) are recognised."""
    words = " ".join(["leadhook", *(error.command_chain or ())])
    text = f"leadhook: {error}"
    option, *rest = error.unused_tokens or [""]
    if isinstance(error, UnknownCommandError) and option.startswith("-") and rest:
        text = f"leadhook: options come after the command: {shlex.join([*words.split(), rest[0], option, *rest[1:]])}"
    return Text(f"{text}\nTry `{words} --help`.")


app.error_formatter = _explain_misuse


def main() -> None:
    """Run one command, and exit with its code."""
    make_writable()
    try:
        read_env_file(Path(".env"))
        forget_key_log()
        if not set(sys.argv[1:]) - {"--help", "-h"}:
            # The list shows the first line of each docstring, but only of commands that are imported.
            app.resolved_commands()
        sys.exit(app(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader closed the pipe, as in `leadhook status | head -1`. Python would report it once more when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except CommandError as error:
        print_line(f"leadhook: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
