"""A database to measure on: on disk, with fsync, migrated, with triggers and a webhook that nobody hears."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from leadhook.install.files import read_migrations, read_webhook_steps
from leadhook.install.migrate import migrate
from leadhook.install.webhooks import install_webhooks
from leadhook.local.binaries import locate
from leadhook.local.database import Database, create_roles, fill_database
from leadhook.local.postgres import Cluster, create_cluster
from leadhook.local.processes import free_port

NAME = "bench"
WEBHOOK_URL = "http://127.0.0.1:9/webhooks/leads"


@contextmanager
def wired_database() -> Iterator[Database]:
    """A database in a cluster of its own, gone afterwards."""
    # Not under /tmp, which may be memory and know no fsync.
    home = Path(tempfile.mkdtemp(prefix="leadhook-bench-", dir="/var/tmp"))
    home.chmod(0o755)
    password = secrets.token_urlsafe(24)
    try:
        binaries = locate()
        create_cluster(binaries, home / "data", password)
        cluster = Cluster(binaries, home / "data", port=free_port(), password=password, log=home / "log")
        try:
            yield _fill(cluster, password)
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(home)


def _fill(cluster: Cluster, password: str) -> Database:
    create_roles(cluster.conninfo(), postgres=password, authenticator=password)
    with psycopg.connect(cluster.conninfo(), autocommit=True) as connection:
        connection.execute(f"create database {NAME} owner postgres".encode())
    database = Database(
        name=NAME,
        conninfo=cluster.conninfo("postgres", password, NAME),
        admin_conninfo=cluster.conninfo(dbname=NAME),
        authenticator_conninfo=cluster.conninfo("authenticator", password, NAME),
    )
    fill_database(database.admin_conninfo)
    asyncio.run(_install(database))
    return database


async def _install(database: Database) -> None:
    migrations = read_migrations()
    await migrate(database.conninfo, migrations, lambda _: None)
    await install_webhooks(database.conninfo, WEBHOOK_URL, migrations, read_webhook_steps(), lambda _: None)
