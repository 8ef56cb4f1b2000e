"""The local Supabase project: a cluster on disk, its database, and the initial data."""

import os
from collections.abc import Callable
from urllib.parse import quote

import psycopg

from leadhook.local.binaries import Binaries
from leadhook.local.bootstrap import RolePasswords, create_roles, fill_database
from leadhook.local.database import Database
from leadhook.local.keys import Keys
from leadhook.local.postgres import SUPERUSER, Cluster, create_cluster
from leadhook.local.state import State, end_orphan

DATABASE = "postgres"
FAKE_KEYS = ("local-fake-key-1", "local-fake-key-2", "local-fake-key-3")


def start_cluster(state: State, binaries: Binaries, say: Callable[[str], None]) -> Cluster:
    """Start the project's Postgres; create it first if necessary."""
    keys = state.keys()
    data = state.cluster_directory()
    if data.parent != state.directory:
        say(f"postgres    runs as the user `nobody`, because it refuses root; its data is in {data}")
    if data.exists():
        end_orphan(data)
    else:
        create_cluster(binaries, data, keys.superuser_password)
    port = state.port("postgres")
    return Cluster(binaries, data, port=port, password=keys.superuser_password, log=state.log("postgres"))


def project_database(cluster: Cluster, keys: Keys) -> Database:
    """Return the project's database, set up as a Supabase project at the first start."""
    database = Database(
        name=DATABASE,
        conninfo=uri("postgres", keys.postgres_password, cluster.port),
        admin_conninfo=uri(SUPERUSER, keys.superuser_password, cluster.port),
        authenticator_conninfo=uri("authenticator", keys.authenticator_password, cluster.port),
    )
    with psycopg.connect(database.admin_conninfo, autocommit=True) as connection:
        if not _found(connection, "select from pg_roles where rolname = 'authenticator'"):
            create_roles(database.admin_conninfo, RolePasswords(keys.postgres_password, keys.authenticator_password))
        if not _found(connection, "select from pg_namespace where nspname = 'supabase_functions'"):
            connection.execute("alter database postgres owner to postgres")
            fill_database(database.admin_conninfo)
    return database


def is_swept(database: Database) -> bool:
    """Whether the first round of the sweep is over."""
    with database.connect() as connection:
        return _found(connection, "select from leadhook.controls where first_round_finished_at is not null")


def provide_keys(database: Database) -> None:
    """Fill an empty gemini_api: with GEMINI_API_KEY, which also replaces fake keys, else with fake keys."""
    real = os.environ.get("GEMINI_API_KEY")
    with database.connect(autocommit=False) as connection:
        if real:
            connection.execute("delete from public.gemini_api where api_key = any(%s)", [list(FAKE_KEYS)])
        if not _found(connection, "select from public.gemini_api"):
            rows = [(key,) for key in ([real] if real else FAKE_KEYS)]
            connection.cursor().executemany("insert into public.gemini_api (api_key) values (%s)", rows)


def release_backlog(database: Database) -> None:
    """Release leads that existed before leadhook; a local project needs no confirmation."""
    with database.connect() as connection:
        connection.execute("update leadhook.controls set backlog = 'run' where backlog <> 'run'")


def in_use(conninfo: str) -> bool:
    """Whether anyone ever pressed "run". An interrupted sample does not count: its prompts row comes last."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return _found(connection, "select from public.prompts")


def uri(user: str, password: str, port: int) -> str:
    """A connection string that any tool understands."""
    return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{port}/{DATABASE}"


def _found(connection: psycopg.Connection, query: str) -> bool:
    return connection.execute(f"{query} limit 1".encode()).fetchone() is not None
