"""`leadhook local up`: the whole stack, from Postgres to the service, in one process tree."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from leadhook.command_error import CommandError
from leadhook.local import project
from leadhook.local.binaries import refuse_unsupported
from leadhook.local.database import Database
from leadhook.local.demo.follow import follow
from leadhook.local.demo.play import console_of, play
from leadhook.local.sample import insert_sample
from leadhook.local.stack import Options, Stack, service_port
from leadhook.local.state import State
from leadhook.local.steps import install_webhooks, start_gemini, start_service, start_supabase
from leadhook.local.supervisor import Stopped, Supervisor
from leadhook.local.welcome import bare_welcome, welcome


def up(options: Options, say: Callable[[str], None] = print) -> None:
    """Start everything, play the demo on an empty database, and show new answers until a signal comes.

    Raises:
        CommandError: a process could not start, or died.
    """
    refuse_unsupported()
    with suppress(Stopped), running(options, say) as (stack, facts):
        say(f"ready       {stack.state.facts_file} has addresses and keys; Ctrl-C stops everything")
        if options.bare:
            say(bare_welcome(stack.state.directory))
        elif options.service:
            try:
                _show(stack, facts)
            except psycopg.Error as error:
                stack.supervisor.check()
                raise CommandError(f"the database of the local stack failed: {error}") from error
        stack.supervisor.watch()


def _show(stack: Stack, facts: dict[str, object]) -> None:
    database_url = str(facts["database_url"])
    if stack.options.plays and not project.in_use(database_url):
        play(facts, console_of(), stack.supervisor.check)
    stack.say(welcome(stack.state.directory, facts))
    follow(database_url, stack.say, stack.supervisor.check)


@contextmanager
def running(options: Options, say: Callable[[str], None] = print) -> Iterator[tuple[Stack, dict[str, object]]]:
    """Run the stack during the block; yield it with the facts of local.json.

    Raises:
        Stopped: a signal arrived during startup.
        CommandError: a process could not start, or died.
    """
    state = State(options.state_dir)
    with state.held(), Supervisor(say) as supervisor:
        state.keep_kind(bare=options.bare)
        stack = Stack(options, state, state.keys(), supervisor, say)
        yield stack, start(stack)


def start(stack: Stack) -> dict[str, object]:
    """Start the children in order; return the facts, which are also in local.json."""
    stack.ports["service"] = service_port(stack)
    database = start_supabase(stack)
    gemini_url = start_gemini(stack)
    facts: dict[str, object] = {
        "service_url": f"http://127.0.0.1:{stack.ports['service']}",
        "supabase_url": f"http://127.0.0.1:{stack.ports['gateway']}",
        "secret_key": stack.keys.secret_key,
        "service_role_key": stack.keys.service_role_key,
        "anon_key": stack.keys.anon_key,
        "database_url": database.conninfo,
        "gemini_url": gemini_url,
        "admin_token": stack.keys.admin_token,
        "webhook_url": f"http://127.0.0.1:{stack.ports['service']}/webhooks/leads",
    }
    if not stack.options.bare:
        _add_leadhook(stack, database, facts)
    facts["pids"] = stack.supervisor.pids
    stack.state.write_facts(facts)
    return facts


def _add_leadhook(stack: Stack, database: Database, facts: dict[str, object]) -> None:
    facts["webhook_secret"] = install_webhooks(stack, database, str(facts["webhook_url"]))
    project.release_backlog(database)
    project.provide_keys(database)
    if stack.options.service:
        start_service(stack, database, facts)
    if stack.options.sample and not stack.options.plays and not project.in_use(database.conninfo):
        insert_sample(database.conninfo)
        stack.say("sample      leads inserted")
