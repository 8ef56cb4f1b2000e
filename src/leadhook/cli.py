"""The command line. Each command imports what it needs when it runs: `serve` loads no installer, no local stack."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NoReturn
from uuid import UUID

from cyclopts import App, Parameter
from cyclopts.validators import Number

from leadhook import __version__
from leadhook.install.failure import InstallError, MisuseError
from leadhook.local.failure import LocalStackError
from leadhook.settings import SettingsError, load_settings

app = App(
    name="leadhook",
    help="Scores a Supabase project's sales leads with Gemini the moment they become eligible.",
    help_epilogue="Settings are environment variables; secrets are never arguments. The README has the table of them.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    result_action="return_int_as_exit_code_else_zero",
)
webhooks = App(name="webhooks", help="The triggers in the database that ring the service.")
app.command(webhooks)
backlog = App(name="backlog", help="The leads that were eligible before leadhook came: they are held until released.")
app.command(backlog)
app.command(
    "leadhook.local.commands:app",
    name="local",
    help="A whole Supabase on this machine, without Docker and without an account.",
)


@app.command
def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on; else HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on; else PORT, else 8000.")] = None,
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
) -> None:
    """Take leadhook out of the database of DATABASE_URL: triggers, index, functions and Vault entries; repeatable.

    The application's tables stay as they are. Stop the service first: it can do nothing without the functions. Without
    --purge the schema leadhook stays, so that a later install finds what is known of each lead; what was still to be
    done is held then.
    """
    from leadhook.install import commands

    commands.uninstall(purge=purge)


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


def main() -> None:
    """Run one command; exit 2 says that the arguments or settings are wrong, 1 that the work failed, 130 Ctrl-C."""
    try:
        sys.exit(app(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except (MisuseError, SettingsError) as error:
        _fail(error, 2)
    except (InstallError, LocalStackError) as error:
        _fail(error, 1)


def _fail(error: Exception, code: int) -> NoReturn:
    print(f"leadhook: {error}", file=sys.stderr)  # noqa: T201 - the words are for the terminal
    sys.exit(code)
