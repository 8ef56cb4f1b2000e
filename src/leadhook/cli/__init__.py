"""The command line: one readable function per command, imported when it is called, so that each loads only its own.

Operators' commands ask the project's API with SUPABASE_URL and its key (`asking`). DATABASE_URL is for what installs
(`database`). Exit codes and the shapes of `--json` are in docs/commands.md.
"""

import os
import shlex
import sys
from pathlib import Path

from cyclopts import App, CycloptsError, UnknownCommandError
from rich.text import Text

from leadhook import __version__
from leadhook.cli.printing import make_writable, tell
from leadhook.command_error import CommandError
from leadhook.network import forget_key_log
from leadhook.settings import read_env_file

app = App(
    name="leadhook",
    help="Scores a Supabase project's sales leads with Gemini the moment they become eligible.",
    help_epilogue=(
        "Settings are environment variables, or lines of a .env file in the working directory; secrets are never "
        "arguments. The README has the table of them, docs/commands.md the exit codes."
    ),
    version=__version__,
    suppress_keyboard_interrupt=False,
    result_action="return_int_as_exit_code_else_zero",
)

app.command("leadhook.cli.service:serve", name="serve", help="Run the service.")
app.command("leadhook.cli.database:install", name="install", help="Install leadhook in the database.")
app.command("leadhook.cli.database:migrate", name="migrate", help="Bring the database to this version.")
app.command("leadhook.cli.database:webhooks_app", name="webhooks", help="The triggers that send webhooks.")
app.command("leadhook.cli.database:uninstall", name="uninstall", help="Remove leadhook from the database.")
app.command("leadhook.cli.status:status", name="status", help="Show how everything stands, on one screen.")
app.command("leadhook.cli.doctor:doctor", name="doctor", help="Check everything that can be wrong.")
app.command("leadhook.cli.explain:explain", name="explain", help="Show where one lead stands, and why.")
app.command("leadhook.cli.answers:answers", name="answers", help="List the newest answer of each lead.")
app.command("leadhook.cli.replay:app", name="replay", help="Score leads again.")
app.command("leadhook.cli.evaluate:app", name="evaluate", help="Try another prompt or model on answered leads.")
app.command("leadhook.cli.backlog:app", name="backlog", help="Leads that were eligible before leadhook came.")
app.command("leadhook.cli.admission:pause_app", name="pause", help="Stop claiming leads.")
app.command("leadhook.cli.admission:resume", name="resume", help="End a pause.")
app.command("leadhook.cli.admission:budget_app", name="budget", help="Limit what leads may cost in a day.")
app.command("leadhook.local.commands:app", name="local", help="A Supabase project on this machine, without Docker.")


def _explain_misuse(error: CycloptsError) -> Text:
    """What was wrong with the command line, and where to read on; `--json status` is a habit of other programs."""
    words = " ".join(["leadhook", *(error.command_chain or ())])
    text = f"leadhook: {error}"
    option, *rest = error.unused_tokens or [""]
    if isinstance(error, UnknownCommandError) and option.startswith("-") and rest:
        text = f"leadhook: options stand behind the command: {shlex.join([*words.split(), rest[0], option, *rest[1:]])}"
    return Text(f"{text}\nTry `{words} --help`.")


app.error_formatter = _explain_misuse


def main() -> None:
    """Run one command, and exit with its code."""
    make_writable()
    try:
        read_env_file(Path(".env"))
        forget_key_log()
        sys.exit(app(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Who reads has seen enough, as in `leadhook status | head -1`; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except CommandError as error:
        tell(f"leadhook: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
