"""The command line. Each command imports what it needs when it runs: `serve` loads no installer, no local stack."""

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn
from uuid import UUID

from cyclopts import App, CycloptsError, Parameter, UnknownCommandError
from cyclopts.validators import Number
from rich.text import Text

from leadhook import __version__
from leadhook.confirmation import NobodyToAskError, NotConfirmedError
from leadhook.install.failure import InstallError, MisuseError
from leadhook.local.failure import LocalStackError
from leadhook.network import forget_key_log
from leadhook.printing import make_writable, tell
from leadhook.remote.failure import AskedWrongError, RemoteError
from leadhook.settings import SettingsError, load_settings, read_env_file
from leadhook.terminal.failure import TerminalError

if TYPE_CHECKING:
    from leadhook.install.gates import Scope

app = App(
    name="leadhook",
    help="Scores a Supabase project's sales leads with Gemini the moment they become eligible.",
    help_epilogue=(
        "Settings are environment variables, or lines of a .env file in the working directory; secrets are never "
        "arguments. The README has the table of them, and of the exit codes."
    ),
    version=__version__,
    suppress_keyboard_interrupt=False,
    result_action="return_int_as_exit_code_else_zero",
)
webhooks = App(name="webhooks", help="The triggers in the database that ring the service.")
app.command(webhooks)
backlog = App(name="backlog", help="The leads that were eligible before leadhook came: they are held until released.")
app.command(backlog)
budget = App(name="budget", help="How many dollars leads may cost in a day of UTC; when they are spent, leads wait.")
app.command(budget)
app.command(
    "leadhook.remote.commands:app",
    name="replay",
    help="Has leads judged again by a running service (SERVICE_URL, ADMIN_TOKEN).",
)
app.command(
    "leadhook.local.commands:app",
    name="local",
    help="A Supabase project's database and REST API on this machine, without Docker and without an account.",
)


MOST_USD = 1_000_000
"""A day. More is a slip of the finger."""
Dollars = Annotated[float, Parameter(validator=Number(gte=0, lte=MOST_USD), help="Dollars a day.")]
ForUser = Annotated[UUID | None, Parameter(help="Only leads of this user_id.")]
ForTag = Annotated[str | None, Parameter(help="Only those of this tag; needs --user.")]


@app.command
def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on; else HOST, else 127.0.0.1.")] = None,
    port: Annotated[
        int | None, Parameter(validator=Number(gte=0, lte=65535), help="Port to listen on; else PORT, else 8000.")
    ] = None,
) -> None:
    """Run the service: it takes webhooks, claims leads, asks Gemini and saves the answers."""
    given = {"HOST": host, "PORT": None if port is None else str(port)}
    settings = load_settings({**os.environ, **{name: text for name, text in given.items() if text is not None}})

    from leadhook.app import serve as serve_until_stopped

    serve_until_stopped(settings)


@app.command
def migrate(
    *,
    copy_to: Annotated[
        Path | None,
        Parameter(help="Write the files into this directory (supabase/migrations) instead, for the Supabase CLI."),
    ] = None,
) -> None:
    """Bring the database of DATABASE_URL to this version; repeatable, and harmless while the application writes.

    DATABASE_URL is the direct connection (or the session pooler) of a role that may create tables; on a hosted project
    that is `postgres`. With --copy-to no database is touched.
    """
    from leadhook.install import commands

    if copy_to is None:
        commands.migrate()
    else:
        commands.copy_migrations(copy_to)


@app.command
def doctor(
    *,
    live: Annotated[
        bool, Parameter(negative="", help="Ask Google about every key; the question costs nothing.")
    ] = False,
    service: Annotated[
        str | None,
        Parameter(help="Where the service is, e.g. https://leads.example.com; else where the database rings."),
    ] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="One JSON object instead of lines.")] = False,
) -> int:
    """Look at everything that can be wrong: settings, database, rings, keys, service; say what mends it.

    Uses what is set: SUPABASE_URL and its key, DATABASE_URL for the database's own side. Nothing is changed; one ring
    that names no lead is sent. The exit code is 1 when something is at fault.
    """
    from leadhook.doctor.report import run

    return run(live=live, at=service.rstrip("/") if service else None, as_json=as_json)


def _can_be_rung(_: object, url: str) -> None:
    from leadhook.install.ringing import check_url

    check_url(url)


RingUrl = Annotated[
    str,
    Parameter(
        validator=_can_be_rung,
        help="Where the database reaches the service, e.g. https://leads.example.com/webhooks/leads.",
    ),
]


@webhooks.command
def install(*, url: RingUrl) -> None:
    """Make the triggers on the application's tables and tell them where to ring; repeatable.

    Works on the database of DATABASE_URL, after `leadhook migrate`. URL and secret are kept in Supabase Vault. The
    secret is made once; the line that sets WEBHOOK_SECRETS for the service is the only output on stdout.
    """
    from leadhook.install import commands

    commands.install_webhooks(url)


@app.command(name="install")
def install_all(
    *,
    url: Annotated[
        str | None,
        Parameter(
            validator=lambda kind, url: url is not None and _can_be_rung(kind, url),
            help="Where the database reaches the service, e.g. https://leads.example.com/webhooks/leads.",
        ),
    ] = None,
    plan: Annotated[bool, Parameter(negative="", help="Only show what would be done.")] = False,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False,
    lock_down: Annotated[
        bool, Parameter(negative="", help="Enable row level security on the five tables where outsiders get in.")
    ] = False,
    backlog: Annotated[
        Literal["hold", "run"], Parameter(help="Leads that are eligible already: hold until released, or run at once.")
    ] = "hold",
) -> None:
    """Install leadhook in the database of DATABASE_URL: shows a plan, asks, then does all of it; repeatable.

    That is `migrate`, `webhooks install`, and the first sweep round, which holds the backlog. The line that sets
    WEBHOOK_SECRETS for the service is the only output on stdout.
    """
    from leadhook.install import commands
    from leadhook.install.install import Order

    if plan:
        commands.show_plan()
    elif url is None:
        raise MisuseError("nothing was changed: --url says where the database rings; --plan needs none")
    else:
        commands.install(Order(url, backlog, lock_down), yes=yes)


@app.command
def uninstall(
    *,
    purge: Annotated[
        bool, Parameter(negative="", help="Drop the schema leadhook too: jobs, attempts, verdicts, settings.")
    ] = False,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask before a purge.")] = False,
) -> None:
    """Take leadhook out of the database of DATABASE_URL: triggers, index, functions and Vault entries; repeatable.

    The application's tables stay as they are. Stop the service first: it can do nothing without the functions. Without
    --purge the schema leadhook stays, so that a later install finds what is known of each lead; what was still to be
    done is held then. --purge shows what would be dropped, and asks.
    """
    from leadhook.install import commands

    commands.uninstall(purge=purge, yes=yes)


@backlog.command
def status() -> None:
    """How many leads are held, whose they are, and whether something else processes leads too."""
    from leadhook.install import commands

    commands.show_the_backlog()


@backlog.command
def release(
    *,
    user: Annotated[UUID | None, Parameter(help="Only leads of this user_id.")] = None,
    tag: Annotated[str | None, Parameter(help="Only leads of this tag.")] = None,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1), help="How many at most.")] = None,
    since: Annotated[
        datetime | None, Parameter(help="Only where the newest prompts row is not older; UTC unless it says else.")
    ] = None,
    redo: Annotated[
        bool, Parameter(negative="", help="Also leads that have an answer in llm_response; it is replaced.")
    ] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Only count.")] = False,
) -> None:
    """Have held leads processed, behind fresh ones: users and tags with the newest prompts row first, then by lead_id.

    Works in slices of 500; Ctrl-C ends it between two of them. A lead that is not eligible any more is not released.
    """
    from leadhook.install import commands
    from leadhook.install.backlog import Wish

    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    commands.release_the_backlog(Wish(user, tag, since, limit, redo), dry_run=dry_run)


@app.command
def explain(
    lead_id: Annotated[str, Parameter(help="As all_leads has it.")],
    *,
    as_json: Annotated[bool, Parameter("--json", negative="", help="All the facts, for programs.")] = False,
) -> int:
    """Tell where a lead stands: what is missing, or what happens next and when; exit 1 when nobody has such a lead.

    Asks the database through SUPABASE_URL with the service's key, so it works while the service is down.
    """
    settings = load_settings()

    from leadhook.terminal.explain import explain as explain_lead

    return explain_lead(settings, lead_id, as_json=as_json)


@app.command
def answers(
    *,
    user: Annotated[UUID | None, Parameter(help="Only leads of this user_id.")] = None,
    tag: Annotated[str | None, Parameter(help="Only leads of this tag.")] = None,
    min_score: Annotated[
        int | None, Parameter(validator=Number(gte=0, lte=100), help="Only scores from here on; 50 is contact.")
    ] = None,
    since: Annotated[datetime | None, Parameter(help="Only answers since then; UTC unless it names a zone.")] = None,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=1000), help="How many at most.")] = 20,
    as_json: Annotated[
        bool, Parameter("--json", negative="", help="With message, criteria and flags, for programs.")
    ] = False,
) -> int:
    """List the newest answer of each lead: score, contact, subject and reason, the newest first.

    Asks the database through SUPABASE_URL with the service's key, so it works while the service is down.
    """
    settings = load_settings()

    from leadhook.terminal.answers import Wanted
    from leadhook.terminal.answers import answers as list_answers

    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return list_answers(settings, Wanted(user, tag, min_score, since, limit), as_json=as_json)


@app.command(name="status")
def show_status(
    *, as_json: Annotated[bool, Parameter("--json", negative="", help="What the database said, for programs.")] = False
) -> int:
    """Tell how it stands on one screen: what keeps leads back, the funnel, keys, spend, the longest wait.

    Asks the database through SUPABASE_URL with the service's key; exit 1 when something keeps leads back.
    """
    settings = load_settings()

    from leadhook.terminal.status import status as tell_status

    return tell_status(settings, as_json=as_json)


@app.command
def pause(
    *, user: ForUser = None, tag: ForTag = None, reason: Annotated[str | None, Parameter(help="Why.")] = None
) -> None:
    """Claim no more leads: of a user and tag, of a user, or at all. Leads at work are finished; the others wait."""
    from leadhook.install import commands

    commands.pause(_scope(user, tag), reason)


@app.command
def resume(*, user: ForUser = None, tag: ForTag = None) -> None:
    """End the pause of exactly this user and tag, of this user, or of everything."""
    from leadhook.install import commands

    commands.resume(_scope(user, tag))


@budget.command(name="set")
def set_budget(
    daily_usd: Dollars,
    *,
    user: ForUser = None,
) -> None:
    """Set what the leads of a user, or all leads together, may cost in a day of UTC; all of today counts."""
    from leadhook.install import commands

    commands.set_budget(user, daily_usd)


@budget.command(name="clear")
def clear_budget(*, user: ForUser = None) -> None:
    """Take the budget away: leads cost what they cost."""
    from leadhook.install import commands

    commands.set_budget(user, None)


@budget.command(name="show")
def show_budgets() -> None:
    """What is left of each budget, and what was spent, reserved and spent in vain today."""
    from leadhook.install import commands

    commands.show_budgets()


def _scope(user: UUID | None, tag: str | None) -> "Scope":
    from leadhook.install.gates import Scope

    if tag is not None and user is None:
        raise MisuseError("--tag needs --user: two users may have the same tag")
    return Scope(user, tag)


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
    """Run one command. The exit codes are in docs/commands.md.

    0: done, and nothing keeps leads back. 1: something does, or the work failed. 2: the arguments or settings are
    wrong. 130: Ctrl-C.
    """
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
    except (MisuseError, SettingsError, AskedWrongError, NobodyToAskError) as error:
        _fail(error, 2)
    except (InstallError, LocalStackError, RemoteError, TerminalError, NotConfirmedError) as error:
        _fail(error, 1)


def _fail(error: Exception, code: int) -> NoReturn:
    tell(f"leadhook: {error}", file=sys.stderr)
    sys.exit(code)
