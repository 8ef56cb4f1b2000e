"""The commands that need DATABASE_URL: they change the database with its owner's rights."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from leadhook.cli.options import Yes
from leadhook.cli.output import confirm
from leadhook.cli.printing import print_line
from leadhook.command_error import MisuseError
from leadhook.install.files import copy_migrations, read_migrations, read_webhook_steps
from leadhook.install.install import InstallOptions, make_plan
from leadhook.install.install import install as install_everything
from leadhook.install.migrate import migrate as migrate_database
from leadhook.install.uninstall import describe_purge
from leadhook.install.uninstall import uninstall as uninstall_from_database
from leadhook.install.webhooks import check_url
from leadhook.install.webhooks import install_webhooks as install_into_database
from leadhook.prices import price_here
from leadhook.settings import read_variable

webhooks_app = App(name="webhooks", help="Install the triggers that send webhooks.")


def _is_reachable(_: object, url: str | None) -> None:
    if url is not None:
        check_url(url)


_URL_HELP = "The address where the database reaches the service, e.g. https://leads.example.com/webhooks/leads."
WebhookUrl = Annotated[str, Parameter(validator=_is_reachable, help=_URL_HELP)]
OptionalUrl = Annotated[str | None, Parameter(validator=_is_reachable, help=_URL_HELP)]


def migrate(
    *,
    copy_to: Annotated[
        Path | None,
        Parameter(help="Write the files to this directory instead, for the Supabase CLI (supabase/migrations)."),
    ] = None,
) -> None:
    """Upgrade the database to this version of leadhook.

    Can be repeated, and is safe while the application writes. DATABASE_URL is the direct connection or the session
    pooler, for a role that may create tables; on a hosted project that is `postgres`. With --copy-to, no database is
    changed.

    For example: `leadhook migrate --copy-to supabase/migrations`
    """
    if copy_to is None:
        asyncio.run(migrate_database(_database_url(), read_migrations(), print_line))
    else:
        copy_migrations(read_migrations(), copy_to, print_line)


@webhooks_app.command(name="install")
def install_webhooks(*, url: WebhookUrl) -> None:
    """Create the triggers on the application's tables, and store the webhook's URL and secret.

    Can be repeated. Run `leadhook migrate` first. URL and secret are stored in Supabase Vault; the secret is generated
    once. The only output on stdout is the line that sets WEBHOOK_SECRETS for the service.

    For example: `leadhook webhooks install --url https://leads.example.com/webhooks/leads`
    """
    say = partial(print_line, file=sys.stderr)
    secret = asyncio.run(install_into_database(_database_url(), url, read_migrations(), read_webhook_steps(), say))
    sys.stdout.write(f"WEBHOOK_SECRETS={secret}\n")


def install(
    *,
    url: OptionalUrl = None,
    plan: Annotated[bool, Parameter(negative="", help="Only show the plan.")] = False,
    yes: Yes = False,
    lock_down: Annotated[
        bool,
        Parameter(
            negative="",
            help="Enable row level security on tables that anon or authenticated can access.",
        ),
    ] = False,
    backlog: Annotated[
        Literal["hold", "run"],
        Parameter(help="What to do with leads that are already eligible: hold or score them."),
    ] = "hold",
) -> None:
    """Install leadhook in the database.

    Shows a plan, asks, and then runs `migrate`, `webhooks install`, and the first round of the sweep, which holds the
    backlog. Can be repeated. The only output on stdout is the line that sets WEBHOOK_SECRETS for the service.

    For example: `leadhook install --url https://leads.example.com/webhooks/leads`
    """
    if url is None and not plan:
        raise MisuseError("nothing was changed: --url is missing, the address that the database sends webhooks to")
    say = print_line if plan else partial(print_line, file=sys.stderr)
    database_url, migrations, steps = _database_url(), read_migrations(), read_webhook_steps()
    for line in asyncio.run(make_plan(database_url, migrations, steps, price_here(os.environ))):
        say(line)
    if plan or url is None:
        return
    if not yes:
        confirm("Install?", "--yes installs without asking.")
    options = InstallOptions(url, backlog, lock_down)
    secret = asyncio.run(install_everything(database_url, options, migrations, steps, say))
    sys.stdout.write(f"WEBHOOK_SECRETS={secret}\n")


def uninstall(
    *,
    purge: Annotated[
        bool, Parameter(negative="", help="Also drop the schema leadhook: jobs, attempts, results, pauses, budgets.")
    ] = False,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove leadhook from the database.

    Drops the triggers, the index, the functions and the Vault entries; the application's tables stay as they are. Can
    be repeated. Stop the service first, because it needs the functions. Without --purge, the schema leadhook is kept
    for a later install, which then holds the leads that were not finished. --purge shows what it would drop, and asks.

    For example: `leadhook uninstall --purge`
    """
    database_url = _database_url()
    if purge and not yes:
        for line in asyncio.run(describe_purge(database_url)):
            print_line(line, file=sys.stderr)
        confirm("Drop all of it?", "--yes drops it without asking.")
    asyncio.run(uninstall_from_database(database_url, purge=purge, report=print_line))


def _database_url() -> str:
    url = read_variable(os.environ, "DATABASE_URL")
    if not url:
        raise MisuseError(
            "DATABASE_URL is not set: the direct connection of the database's owner, "
            "like postgresql://postgres:PASSWORD@db.PROJECT.supabase.co:5432/postgres"
        )
    return url
