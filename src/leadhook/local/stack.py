"""A whole stack in one process tree: Supabase, the stand-ins and, unless it is bare, leadhook.

`running` starts the children one after another; each is ready before the next one starts. What other commands need to
know about the stack is in local.json, the facts.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import psycopg

from leadhook.command_error import CommandError
from leadhook.local.binaries import Binaries, locate
from leadhook.local.database import Database, create_roles, fill_database
from leadhook.local.keys import Keys
from leadhook.local.postgres import SUPERUSER, Cluster, create_cluster, end_orphan
from leadhook.local.processes import Child, Supervisor, answers, is_free
from leadhook.local.rest_api import PostgrestPorts, start_postgrest
from leadhook.local.sample import insert_sample
from leadhook.local.state import GOOGLE, State, is_of_a_stack, service_environment
from leadhook.settings import read_variable

DATABASE = "postgres"
FAKE_KEYS = ("local-fake-key-1", "local-fake-key-2", "local-fake-key-3")
SERVICE_GRACE_S = 65


@dataclass(frozen=True)
class Options:
    state_dir: Path
    port: int | None = None
    """The service's port; any free one if None."""
    sample: bool = True
    webhooks: bool = True
    """Run pg_net's worker; without it all webhooks are lost."""
    service: bool = True
    bare: bool = False
    """Leave the database without leadhook."""

    @property
    def plays(self) -> bool:
        """Whether to play the demo on an empty database."""
        return self.sample and self.webhooks and self.service


@dataclass
class Stack:
    """A stack that is being started step by step."""

    options: Options
    state: State
    keys: Keys
    supervisor: Supervisor
    say: Callable[[str], None]
    ports: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Print one line of progress after the block."""
        started = time.monotonic()
        yield
        where = f"127.0.0.1:{self.ports[name]}" if name in self.ports else ""
        self.say(f"{name:<11} ready {where:<16} {time.monotonic() - started:.1f} s")

    def python(self, name: str, *arguments: str, env: dict[str, str] | None = None, grace_s: float = 10) -> Child:
        return self.supervisor.add(
            Child(
                name,
                [sys.executable, "-m", *arguments],
                log=self.state.log(name),
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | (env or {}),
                grace_s=grace_s,
            )
        )

    def leadhook(self, database: Database, *arguments: str) -> str:
        command = [sys.executable, "-m", "leadhook", *arguments]
        return self.supervisor.run(command, os.environ | {"DATABASE_URL": database.conninfo})


@contextmanager
def running(options: Options, say: Callable[[str], None] = print) -> Iterator[tuple[Stack, dict[str, object]]]:
    """Run a stack during the block; yield it with its facts.

    Raises:
        Stopped: a signal arrived during startup.
        CommandError: a process could not start, or died.
    """
    state = State(options.state_dir)
    with state.held(), Supervisor(say) as supervisor:
        state.keep_kind(bare=options.bare)
        stack = Stack(options, state, state.keys(), supervisor, say)
        yield stack, _start(stack)


def _start(stack: Stack) -> dict[str, object]:
    keys, ports = stack.keys, stack.ports
    ports["service"] = _service_port(stack)
    database = _start_supabase(stack)
    gemini_url = _start_gemini(stack)
    service_url = f"http://127.0.0.1:{ports['service']}"
    facts: dict[str, object] = {
        "service_url": service_url,
        "supabase_url": f"http://127.0.0.1:{ports['gateway']}",
        "secret_key": keys.secret_key,
        "service_role_key": keys.service_role_key,
        "anon_key": keys.anon_key,
        "database_url": database.conninfo,
        "gemini_url": gemini_url,
        "admin_token": keys.admin_token,
        "webhook_url": f"{service_url}/webhooks/leads",
    }
    if not stack.options.bare:
        _add_leadhook(stack, database, facts)
    facts["pids"] = stack.supervisor.pids
    stack.state.write_facts(facts)
    return facts


def _service_port(stack: Stack) -> int:
    """Return the requested port, else the last one if it is free, else any free port."""
    asked = stack.options.port
    if asked is None:
        return stack.state.port("service")
    if not is_free(asked):
        raise CommandError(f"port {asked} is in use: choose another --port")
    return asked


def _start_supabase(stack: Stack) -> Database:
    binaries = locate(stack.say)
    with stack.step("postgres"):
        cluster = _start_cluster(stack, binaries)
        database = _project_database(cluster, stack.keys)
    stack.say("vault       STAND-IN for Supabase Vault: it does not encrypt")
    stack.say("auth        STAND-IN for Supabase Auth: auth.users and auth.uid(), but no sign-in service")
    if not stack.options.bare:
        with stack.step("migrations"):
            stack.leadhook(database, "migrate")
    _start_rest_api(stack, binaries, database)
    if stack.options.webhooks:
        stack.python("pgnet", "leadhook.local.pgnet", env={"DATABASE_URL": database.admin_conninfo})
        stack.say("pgnet       STAND-IN for pg_net's worker: sends the webhooks")
    else:
        stack.say("pgnet       not started: all webhooks are lost, and only the sweep finds leads")
    return database


def _start_cluster(stack: Stack, binaries: Binaries) -> Cluster:
    state, password = stack.state, stack.keys.superuser_password
    data = state.cluster_directory()
    if data.parent != state.directory:
        stack.say(f"postgres    runs as the user `nobody`, because it refuses root; its data is in {data}")
    if data.exists():
        end_orphan(data)
    else:
        create_cluster(binaries, data, password)
    cluster = Cluster(binaries, data, port=state.port("postgres"), password=password, log=state.log("postgres"))
    stack.supervisor.add(cluster.child)
    stack.ports["postgres"] = cluster.port
    return cluster


def _project_database(cluster: Cluster, keys: Keys) -> Database:
    """Return the project's database, set up as a Supabase project at the first start."""

    def uri(user: str, password: str) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{cluster.port}/{DATABASE}"

    database = Database(
        name=DATABASE,
        conninfo=uri("postgres", keys.postgres_password),
        admin_conninfo=uri(SUPERUSER, keys.superuser_password),
        authenticator_conninfo=uri("authenticator", keys.authenticator_password),
    )
    with psycopg.connect(database.admin_conninfo, autocommit=True) as connection:
        if not _found(connection, "select from pg_roles where rolname = 'authenticator'"):
            create_roles(
                database.admin_conninfo, postgres=keys.postgres_password, authenticator=keys.authenticator_password
            )
        if not _found(connection, "select from pg_namespace where nspname = 'supabase_functions'"):
            connection.execute("alter database postgres owner to postgres")
            fill_database(database.admin_conninfo)
    return database


def _start_rest_api(stack: Stack, binaries: Binaries, database: Database) -> None:
    state, supervisor = stack.state, stack.supervisor
    ports = PostgrestPorts(server=state.port("postgrest"), admin=state.port("postgrest_admin"))
    gateway_port = state.port("gateway")
    stack.ports |= {"postgrest": ports.server, "gateway": gateway_port}
    with stack.step("postgrest"):
        child = start_postgrest(
            binaries,
            state.directory,
            authenticator_conninfo=database.authenticator_conninfo,
            jwt_secret=stack.keys.jwt_secret,
            ports=ports,
        )
        supervisor.wait_for(supervisor.add(child), answers(ports.admin, "/ready"))
    with stack.step("gateway"):
        arguments = [ports.url, str(gateway_port), str(state.keys_file)]
        child = stack.python("gateway", "leadhook.local.rest_api", *arguments)
        supervisor.wait_for(child, answers(gateway_port, "/rest/v1/", HTTPStatus.UNAUTHORIZED))


def _start_gemini(stack: Stack) -> str:
    """Start the Gemini stand-in unless the environment names another Gemini; return the URL in use."""
    named = read_variable(os.environ, "GEMINI_BASE_URL")
    if named and is_of_a_stack(os.environ):
        stack.say("gemini      GEMINI_BASE_URL is ignored: it comes from `leadhook local env` of a stack")
    elif named:
        stack.say(f"gemini      {named}, from GEMINI_BASE_URL")
        return named
    if read_variable(os.environ, "GEMINI_API_KEY"):
        stack.say("gemini      the real Gemini, because GEMINI_API_KEY is set; its answers cost money")
        return GOOGLE
    port = stack.ports["gemini"] = stack.state.port("gemini")
    with stack.step("gemini"):
        child = stack.python("gemini", "leadhook.local.gemini_standin", "--port", str(port))
        stack.supervisor.wait_for(child, answers(port, "/health"))
    stack.say(
        "gemini      STAND-IN, because GEMINI_API_KEY is not set: answers come from simple rules, not from a model"
    )
    return f"http://127.0.0.1:{port}"


def _add_leadhook(stack: Stack, database: Database, facts: dict[str, object]) -> None:
    facts["webhook_secret"] = _install_webhooks(stack, database, str(facts["webhook_url"]))
    with database.connect() as connection:
        # Release leads that existed before leadhook: a local project needs no confirmation.
        connection.execute("update leadhook.controls set backlog = 'run' where backlog <> 'run'")
    _provide_keys(database)
    if stack.options.service:
        _start_service(stack, database, facts)
    if stack.options.sample and not stack.options.plays and not in_use(database.conninfo):
        insert_sample(database.conninfo)
        stack.say("sample      leads inserted")


def _install_webhooks(stack: Stack, database: Database, url: str) -> str:
    with stack.step("webhooks"):
        output = stack.leadhook(database, "webhooks", "install", "--url", url)
    if not (found := re.search(r"\bWEBHOOK_SECRETS=['\"]?(whsec_[A-Za-z0-9+/=]+)", output)):
        raise CommandError("`leadhook webhooks install` did not print WEBHOOK_SECRETS")
    return found[1]


def _provide_keys(database: Database) -> None:
    """Fill an empty gemini_api: with GEMINI_API_KEY, which also replaces fake keys, else with fake keys."""
    real = read_variable(os.environ, "GEMINI_API_KEY")
    with database.connect(autocommit=False) as connection:
        if real:
            connection.execute("delete from public.gemini_api where api_key = any(%s)", [list(FAKE_KEYS)])
        if not _found(connection, "select from public.gemini_api"):
            rows = [(key,) for key in ([real] if real else FAKE_KEYS)]
            connection.cursor().executemany("insert into public.gemini_api (api_key) values (%s)", rows)


def _start_service(stack: Stack, database: Database, facts: dict[str, object]) -> None:
    """Start `leadhook serve` on this stack and wait for its first sweep; later leads are found by webhooks."""
    swept = "select from leadhook.controls where first_round_finished_at is not null"
    with stack.step("service"), database.connect() as connection:
        child = stack.python("service", "leadhook", "serve", env=service_environment(facts), grace_s=SERVICE_GRACE_S)
        stack.supervisor.wait_for(child, answers(stack.ports["service"], "/health"))
        stack.supervisor.wait_for(child, lambda: _found(connection, swept))


def in_use(conninfo: str) -> bool:
    """Return whether anyone ever pressed "run". An interrupted sample does not count: its prompts row comes last."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return _found(connection, "select from public.prompts")


def _found(connection: psycopg.Connection, query: str) -> bool:
    return connection.execute(f"{query} limit 1".encode()).fetchone() is not None
