"""What the command line calls: takes DATABASE_URL from the environment and talks to the terminal."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path
from uuid import UUID

from leadhook.confirmation import confirm
from leadhook.install import gates
from leadhook.install.backlog import Wish, count_releasable, show_backlog
from leadhook.install.backlog import release_backlog as release_in_database
from leadhook.install.copies import copy_migrations as copy_into
from leadhook.install.failure import MisuseError
from leadhook.install.files import read_migrations, read_webhook_steps
from leadhook.install.forecast import Priced
from leadhook.install.gates import Scope
from leadhook.install.install import Order
from leadhook.install.install import install as install_everything
from leadhook.install.migrate import migrate as migrate_database
from leadhook.install.plan import make_plan
from leadhook.install.uninstall import describe_purge
from leadhook.install.uninstall import uninstall as uninstall_from_database
from leadhook.install.webhooks import install_webhooks as install_into_database
from leadhook.prices import price_here
from leadhook.printing import tell


def migrate() -> None:
    """`leadhook migrate`."""
    asyncio.run(migrate_database(_database_url(), read_migrations(), tell))


def copy_migrations(directory: Path) -> None:
    """`leadhook migrate --copy-to DIR`."""
    copy_into(read_migrations(), directory, tell)


def install_webhooks(url: str) -> None:
    """`leadhook webhooks install`: only the line for the service's environment goes to stdout."""
    say = partial(tell, file=sys.stderr)
    secret = asyncio.run(install_into_database(_database_url(), url, read_migrations(), read_webhook_steps(), say))
    sys.stdout.write(f"WEBHOOK_SECRETS={secret}\n")


def show_plan() -> None:
    """`leadhook install --plan`."""
    for line in asyncio.run(make_plan(_database_url(), read_migrations(), read_webhook_steps(), _priced())):
        tell(line)


def install(order: Order, *, yes: bool) -> None:
    """`leadhook install`: only the line for the service's environment goes to stdout."""
    say = partial(tell, file=sys.stderr)
    migrations, steps = read_migrations(), read_webhook_steps()
    for line in asyncio.run(make_plan(_database_url(), migrations, steps, _priced())):
        say(line)
    if not yes:
        confirm("Install?", "--yes installs what the plan says.")
    secret = asyncio.run(install_everything(_database_url(), order, migrations, steps, say))
    sys.stdout.write(f"WEBHOOK_SECRETS={secret}\n")


def uninstall(*, purge: bool, yes: bool) -> None:
    """`leadhook uninstall`; what is lost for good is shown and asked about."""
    url = _database_url()
    if purge and not yes:
        for line in asyncio.run(describe_purge(url)):
            tell(line, file=sys.stderr)
        confirm("Drop all of it?", "--yes drops it.")
    asyncio.run(uninstall_from_database(url, purge=purge, tell=tell))


def show_the_backlog() -> None:
    """`leadhook backlog status`."""
    asyncio.run(show_backlog(_database_url(), tell, _priced()))


def release_the_backlog(wish: Wish, *, dry_run: bool) -> None:
    """`leadhook backlog release`."""
    work = count_releasable if dry_run else release_in_database
    asyncio.run(work(_database_url(), wish, tell, _priced()))


def pause(scope: Scope, reason: str | None) -> None:
    """`leadhook pause`."""
    asyncio.run(gates.pause(_database_url(), scope, reason, tell))


def resume(scope: Scope) -> None:
    """`leadhook resume`."""
    asyncio.run(gates.resume(_database_url(), scope, tell))


def set_budget(user: UUID | None, daily_usd: float | None) -> None:
    """`leadhook budget set`; without a number of dollars, `leadhook budget clear`."""
    asyncio.run(gates.set_budget(_database_url(), user, daily_usd, tell))


def show_budgets() -> None:
    """`leadhook budget show`."""
    asyncio.run(gates.show_budgets(_database_url(), tell))


def _priced() -> Priced:
    return Priced(*price_here(os.environ))


def _database_url() -> str:
    url = os.environ.get("DATABASE_URL", "").strip()
    if not url:
        raise MisuseError(
            "DATABASE_URL is not set: the direct connection of the database's owner, "
            "like postgresql://postgres:PASSWORD@db.PROJECT.supabase.co:5432/postgres"
        )
    return url
