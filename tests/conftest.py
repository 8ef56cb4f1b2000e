"""Fixtures for all tests: a real Postgres for each xdist worker, its own database for each test.

`database` is migrated; `wired_database` has the triggers, webhook URL and secret as well; `bare_database` is an empty
Supabase project; `old_regime_database` is migrated under the default privileges of before 30 October 2026. Each is a
`leadhook.local.database.Database`. `supabase` puts the real PostgREST and the gateway before `database`,
`wired_supabase` before `wired_database`, whose webhooks `webhook_worker` sends.

No test depends on luck: what is drawn in a test's process is drawn from its name, so that every run is alike.
LEADHOOK_SEED draws otherwise; LEADHOOK_FAULTS=long leaves it to chance.
"""

import base64
import gc
import os
import random
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from tests.support.clusters import PASSWORD, RUN_DIRECTORY, copy_cluster, make_careless
from tests.support.databases import Databases

from leadhook.install.files import read_migrations
from leadhook.local import pgnet, processes
from leadhook.local.binaries import Binaries, locate, stack_directory, unsupported
from leadhook.local.database import Database, create_roles, fill_database
from leadhook.local.keys import Keys, new_keys
from leadhook.local.postgres import Cluster
from leadhook.local.processes import answers, free_port
from leadhook.local.rest_api import PostgrestPorts, serving, start_postgrest

ROOT = Path(__file__).parent.parent
NEED_THE_STACK = ("faults", "sql", "stack")
STACKS_OWN = "17"
POSTGRES = os.environ.get("LEADHOOK_POSTGRES") or STACKS_OWN
"""The major release to test on; `make test-postgres` tries all."""
LONG = os.environ.get("LEADHOOK_FAULTS") == "long"
MEMORY_WANTED = 4 * 1024**3
WEBHOOK_URL = "http://127.0.0.1:9/webhooks/leads"
PATIENCE_S = 120
"""How long a test waits for what should happen; only a failure takes it, however busy the machine is."""


def pytest_configure(config: pytest.Config) -> None:
    """Make the directory that the workers of this run share; not pytest's, where Postgres's account cannot get in."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background by a shell; the processes that tests interrupt would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who cancels a run wants its files gone
    # Containers often set this; every run, service and command that a test starts would compile its whole source again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    gc.disable()  # until all is collected
    os.environ.pop("DATABASE_URL", None)  # the developer's
    os.environ.setdefault("PYTHONHASHSEED", "0")  # of the workers and of what tests start
    settings.register_profile("alike", derandomize=not LONG, database=None, deadline=None)
    settings.load_profile("alike")
    if Path(".env").exists():
        # The developer's own settings are no part of a test: commands read that file where they are started.
        os.chdir(tempfile.gettempdir())
    if not hasattr(config, "workerinput"):
        directory = Path(tempfile.mkdtemp(prefix="leadhook-tests-", dir=fastest_directory()))
        directory.chmod(0o755)
        os.environ[RUN_DIRECTORY] = str(directory)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Give each worker its own ports: a stack's service may end and start again, and its port must still be free."""
    worker = getattr(session.config, "workerinput", {"workerid": "gw0", "workercount": 1})
    processes.FREE_PORTS = processes.FREE_PORTS[int(worker["workerid"][2:]) :: worker["workercount"]]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it when the last worker has gone."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(RUN_DIRECTORY), ignore_errors=True)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays until the end: that took a fifth of a worker's CPU."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where the local stack can't run, skip what needs it, with the reason in the summary."""
    if reason := unsupported():
        for item in items:
            if item.path.relative_to(ROOT / "tests").parts[0] in NEED_THE_STACK:
                item.add_marker(pytest.mark.skip(reason=reason))
    _spread_faults(items)


def _spread_faults(items: list[pytest.Item]) -> None:
    """Put the files of tests/faults, which mostly wait, between those that need the CPU."""
    places: dict[Path, float] = {}
    for are_faults in (True, False):
        some = [item.path for item in items if (item.path.parent == ROOT / "tests" / "faults") == are_faults]
        for number, path in enumerate(some):
            places.setdefault(path, number / len(some))
    items.sort(key=lambda item: places[item.path])


def fastest_directory() -> str | None:
    """Memory, where it has room: a thousand databases are made and dropped. None: where temporary files go."""
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a directory of our own there
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MEMORY_WANTED:
        return str(memory)
    return None


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asyncio alone: psycopg and aiohttp know no other."""
    return "asyncio"


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest) -> None:
    """Draw the same in every run: jitter, which of two keys, which of two leads."""
    if not LONG:
        random.seed(f"{request.node.name} {os.environ.get('LEADHOOK_SEED', '')}")


def binaries() -> Binaries:
    """The programs of the release under test."""
    if POSTGRES == STACKS_OWN:
        return locate()
    return locate(
        packages=ROOT / "tests/postgres" / POSTGRES, directory=stack_directory().with_name(f"stack-{POSTGRES}")
    )


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Postgres of this worker's own."""
    data = Path(os.environ[RUN_DIRECTORY]) / f"cluster-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    copy_cluster(binaries(), data)
    make_careless(data)
    cluster = Cluster(binaries(), data, port=free_port(), password=PASSWORD, log=data.with_suffix(".log"))
    try:
        create_roles(cluster.conninfo(), postgres=PASSWORD, authenticator=PASSWORD)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def databases(cluster: Cluster) -> Iterator[Databases]:
    databases = Databases(cluster)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def bare_template(databases: Databases) -> Database:
    return databases.template("bare", lambda database: fill_database(database.admin_conninfo))


@pytest.fixture(scope="session")
def migrated_template(databases: Databases, bare_template: Database) -> Database:
    return databases.template("migrated", migrate, bare_template)


@pytest.fixture(scope="session")
def wired_template(databases: Databases, migrated_template: Database) -> Database:
    return databases.template("wired", wire, migrated_template)


@pytest.fixture(scope="session")
def old_regime_template(databases: Databases) -> Database:
    def fill(database: Database) -> None:
        fill_database(database.admin_conninfo)
        with psycopg.connect(database.admin_conninfo) as connection:
            connection.execute((ROOT / "tests/sql/old_default_privileges.sql").read_bytes())
        migrate(database)

    return databases.template("old_regime", fill)


@pytest.fixture
def bare_database(databases: Databases, bare_template: Database) -> Iterator[Database]:
    """An empty Supabase project."""
    yield from databases.copies(bare_template)


@pytest.fixture
def database(databases: Databases, migrated_template: Database) -> Iterator[Database]:
    """With our migrations, without the triggers; tests that leave nothing but rows use it one after the other."""
    yield from databases.kept(migrated_template)


@pytest.fixture
def wired_database(databases: Databases, wired_template: Database) -> Iterator[Database]:
    """The same with our triggers, and a webhook URL where no one listens."""
    yield from databases.kept(wired_template)


@pytest.fixture
def old_regime_database(databases: Databases, old_regime_template: Database) -> Iterator[Database]:
    """With our migrations, under the default privileges of before 30 October 2026."""
    yield from databases.copies(old_regime_template)


@dataclass(frozen=True)
class Supabase:
    """A local project as its users see it: an address, keys, a database."""

    url: str
    keys: Keys
    database: Database

    @property
    def secret_key(self) -> str:
        """`sb_secret_…`, for the role service_role."""
        return self.keys.secret_key


@pytest.fixture
def supabase(database: Database, tmp_path: Path) -> Iterator[Supabase]:
    """Real PostgREST behind the gateway, on the test's migrated database."""
    with serving_supabase(database, tmp_path) as supabase:
        yield supabase


@pytest.fixture
def wired_supabase(wired_database: Database, tmp_path: Path) -> Iterator[Supabase]:
    """The same on the database with our triggers; add `webhook_worker` where webhooks should be sent."""
    with serving_supabase(wired_database, tmp_path) as supabase:
        yield supabase


@pytest.fixture
def webhook_worker(wired_database: Database) -> Iterator[None]:
    """The stand-in for pg_net's worker, with a pause of 20 ms, on the test's wired database."""
    with sending_webhooks(wired_database):
        yield


@pytest.fixture
def one_utc_day() -> None:
    """For a test of money, which is counted by the day: where midnight UTC is near, wait until it is over."""
    poll(lambda: time.time() % 86400 < 86400 - PATIENCE_S, timeout_s=2 * PATIENCE_S)


def silent(_line: str) -> None:
    """Discard the installer's progress lines."""


def poll(
    condition: Callable[[], bool],
    why_not: Callable[[], str] = lambda: "it did not happen",
    timeout_s: float = PATIENCE_S,
) -> None:
    """Await a real process: return once the condition holds; fail with the message of `why_not` after the timeout."""
    deadline, pause_s = time.monotonic() + timeout_s, 0.02
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(why_not())
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.2, 0.1)  # asking takes CPU from what is awaited


@contextmanager
def sending_webhooks(database: Database, pause_s: float = 0.02) -> Iterator[None]:
    """The stand-in for pg_net's worker on this database, in a thread, until the block ends."""
    worker = pgnet.working(database.admin_conninfo, pause_s=pause_s)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(worker):
        yield


@contextmanager
def serving_supabase(database: Database, directory: Path) -> Iterator[Supabase]:
    """PostgREST as a process and the gateway in a thread, until the block ends."""
    keys = new_keys()
    ports = PostgrestPorts(free_port(), free_port())
    postgrest = start_postgrest(
        locate(),
        directory,
        authenticator_conninfo=database.authenticator_conninfo,
        jwt_secret=keys.jwt_secret,
        ports=ports,
    )
    try:
        poll(answers(ports.admin, "/ready"), lambda: f"PostgREST is not ready:\n{postgrest.tail()}")
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(ports.url, keys)) as port:
            yield Supabase(f"http://127.0.0.1:{port}", keys, database)
    finally:
        postgrest.kill()
        postgrest.process.wait()


def migrate(database: Database) -> None:
    """Apply the versioned migrations in order, then the functions."""
    for migration in read_migrations():
        with database.connect(autocommit=not migration.in_transaction) as connection:
            execute(connection, migration.sql, migration.name)


def wire(database: Database) -> None:
    """Apply webhooks.sql step by step, and put a webhook URL and secret into Vault."""
    text = (ROOT / "webhooks.sql").read_text()
    for step in re.split(r"^-- step: ", text, flags=re.MULTILINE)[1:]:
        with database.connect(autocommit=False) as connection:
            execute(connection, f"-- step: {step}", step.partition("\n")[0])
    with database.connect() as connection:
        connection.execute("select vault.create_secret(%s, 'leadhook_webhook_url')", [WEBHOOK_URL])
        connection.execute("select vault.create_secret(%s, 'leadhook_webhook_secret')", [new_webhook_secret()])


def execute(connection: psycopg.Connection, text: str, name: str) -> None:
    """Run a file as one simple query; a failure names the file."""
    try:
        connection.execute(text.encode())
    except psycopg.Error as error:
        error.add_note(f"in {name}")
        raise


def new_webhook_secret() -> str:
    """A Standard Webhooks secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
