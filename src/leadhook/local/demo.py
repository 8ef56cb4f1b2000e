"""What a person at the terminal sees of a stack: `leadhook local demo` and `leadhook local up`.

Both play the demo: insert the sample leads, show their answers as they are saved, then one more lead alone.
"""

import io
import json
import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from leadhook.command_error import CommandError
from leadhook.local.binaries import refuse_unsupported
from leadhook.local.demo_report import (
    DemoRow,
    calls_counted,
    faults,
    read_rows,
    show_answers,
    show_last,
    show_summary,
    show_table,
)
from leadhook.local.postgres import data_directory
from leadhook.local.processes import Stopped, ask, uninterrupted
from leadhook.local.sample import Sample, insert_one_more, insert_sample, sample_owner
from leadhook.local.stack import Options, Stack, in_use, running
from leadhook.terminal import printable

INTERRUPTED: Final = 130
DEADLINE_S: Final = 120
QUIET_S: Final = 4.0
"""After a burst, pg_net's worker looks for requests only once a second until it finds none and there was no
commit. A webhook then waits for up to a second: measured 2.5 s after the sample's leads, no longer after 3.5 s."""
_LOOK_EACH_S: Final = 0.2
_FOLLOW_EACH_S: Final = 0.5
_PLAIN_WIDTH: Final = 120
_TAIL_LINES: Final = 20
_SETTINGS: Final = {"SWEEP_INTERVAL_SEC": "3600", "GEMINI_STANDIN_LATENCY_MS": "300-900"}
"""Defaults for the demo: no sweep helps, and the model takes its time."""
_RECENT: Final = b"""
  select attempt.id, to_char(attempt.finished_at, 'HH24:MI:SS'), result.score,
    coalesce(details.name, attempt.lead_id), result.subject, coalesce(attempt.source, 'unknown')
  from leadhook.attempts as attempt
    join leadhook.results as result on result.lead_id = attempt.lead_id and result.run = attempt.run
    left join public.lead_details as details on details.lead_id = attempt.lead_id
  where attempt.outcome = 'saved' and attempt.finished_at > clock_timestamp() - interval '1 minute'
  order by attempt.id"""
"""The last minute rather than all after the last id: transactions become visible in another order than they begin."""

Check = Callable[[], None]
"""Raises if the stack died or was asked to stop."""


def demo(say: Callable[[str], None]) -> int:
    """Play the demo on a stack in a temporary directory, then remove both.

    Returns the exit code: 0 if every lead was answered and found by its webhook, 1 if not or if something failed, 130
    if interrupted. After a failure the directory is kept for its logs.

    Raises:
        CommandError: the local stack can't run on this machine.
    """
    refuse_unsupported()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    directory = Path(tempfile.mkdtemp(prefix="leadhook-demo-"))
    # Postgres may have to run as another user, who must get through here. Secret files have modes of their own.
    directory.chmod(0o711)
    code = 1
    try:
        code = _demo_in(directory, say)
    finally:
        if code != 1:
            with uninterrupted():
                shutil.rmtree(data_directory(directory), ignore_errors=True)
                shutil.rmtree(directory, ignore_errors=True)
    return code


def _demo_in(directory: Path, say: Callable[[str], None]) -> int:
    console = _console()
    try:
        with running(Options(directory), say) as (stack, facts):
            say(f"ready       {stack.state.facts_file} has addresses and keys")
            found = _play(facts, console, stack.supervisor.check)
            if found:
                log = directory / "service.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
                say(f"\nThe service's log is {log}; its end:\n{tail}")
            else:
                say(_next_steps())
            say("")
    except Stopped:
        say("interrupted; everything is stopped")
        return INTERRUPTED
    except (CommandError, psycopg.Error) as error:
        say(f"The demo failed: {error}\nThe logs are in {directory}.")
        return 1
    return 1 if found else 0


def up(options: Options, say: Callable[[str], None] = print) -> None:
    """Run a stack, play the demo on an empty database, and show new answers until a signal comes.

    Raises:
        CommandError: a process could not start, or died.
    """
    refuse_unsupported()
    with suppress(Stopped), running(options, say) as (stack, facts):
        say(f"ready       {stack.state.facts_file} has addresses and keys; Ctrl-C stops everything")
        if options.bare:
            say(_bare_welcome(stack.state.directory))
        elif options.service:
            try:
                _show(stack, facts)
            except psycopg.Error as error:
                stack.supervisor.check()
                raise CommandError(f"the database of the local stack failed: {error}") from error
        stack.supervisor.watch()


def _show(stack: Stack, facts: dict[str, object]) -> None:
    database_url = str(facts["database_url"])
    if stack.options.plays and not in_use(database_url):
        _play(facts, _console(), stack.supervisor.check)
    stack.say(_welcome(stack.state.directory, facts))
    _follow(database_url, stack.say, stack.supervisor.check)


def _console() -> Console:
    """Return the terminal, or a console wide enough for the table if there is none."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def _play(facts: dict[str, object], console: Console, check: Check) -> list[str]:
    """Play the demo on a running stack; return what is not as promised, in sentences that were shown."""
    database_url, gemini_url = str(facts["database_url"]), str(facts["gemini_url"])
    counted_before = calls_counted(gemini_url)
    console.print(
        '\nLeads and their details are inserted. Then a user presses "run", which inserts'
        "\nthe prompts row: its commit makes the leads eligible, and its webhook wakes the\nservice.\n"
    )
    sample = insert_sample(database_url, pause=lambda: _keep_quiet(check))
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = _watch(connection, sample, check, console)
        counted = calls_counted(gemini_url)
        show_table(rows, console)
        show_summary(rows, None if counted is None or counted_before is None else counted - counted_before, console)
        show_answers(rows, console)
        found = faults(rows)
        if not found:
            console.print("\nOne more lead, alone, after a quiet moment, with keys that have been tried:")
            _keep_quiet(check)
            last = _watch(connection, insert_one_more(database_url), check, console)
            show_last(last, console)
            found = faults(last)
    for fault in found:
        console.print(fault, soft_wrap=True)
    return found


def _keep_quiet(check: Check) -> None:
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until:
        check()
        time.sleep(_LOOK_EACH_S)


def _watch(connection: psycopg.Connection, sample: Sample, check: Check, console: Console) -> list[DemoRow]:
    """Show answers as they are saved, until all are there or the deadline has passed; return all rows."""
    columns = (TextColumn("answered"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        rows = read_rows(connection, sample)
        bar = progress.add_task("", total=len(rows))
        shown: set[str] = set()
        while True:
            for row in rows:
                if row.answered and row.lead_id not in shown:
                    shown.add(row.lead_id)
                    passed_s, count = time.monotonic() - started, f"{len(shown):2d}/{len(rows)}"
                    line = f"{passed_s:6.1f} s  {count}  score {row.score:3d}  {row.label}"
                    progress.console.print(line, no_wrap=True, overflow="ellipsis")
            progress.update(bar, completed=len(shown))
            if len(shown) == len(rows) or time.monotonic() - started > DEADLINE_S:
                return rows
            check()
            time.sleep(_LOOK_EACH_S)
            rows = read_rows(connection, sample)


def _follow(conninfo: str, say: Callable[[str], None], check: Check) -> None:
    """Show each answer that is saved from now on, until `check` raises."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        seen = {row[0] for row in connection.execute(_RECENT)}
        while True:
            check()
            time.sleep(_FOLLOW_EACH_S)
            rows = connection.execute(_RECENT).fetchall()
            for number, at, score, name, subject, source in rows:
                if number not in seen:
                    say(f"{at}  score {score:3d}  {printable(name)}  by {source}: {printable(subject)}")
            seen = {row[0] for row in rows}


def _path_line() -> str:
    """Return the line that makes the shell find this leadhook."""
    return f'export PATH="{sysconfig.get_path("scripts")}:$PATH"'


def _next_steps() -> str:
    return f"""
What to do next
  make up                  the same on data that is kept: insert leads of your own
  {_path_line()}
  leadhook install --plan  what leadhook would add to your Supabase project, which
                           DATABASE_URL names; it changes nothing
  leadhook --help          all commands; README.md, "Quick start", has the steps"""


def _welcome(state_dir: Path, facts: dict[str, object]) -> str:
    user_id, tag = sample_owner()
    where = shlex.quote(str(state_dir))
    service, supabase = facts["service_url"], facts["supabase_url"]
    return f"""
Console        {service}{_console_path(facts)}
Service        {service}  (API: {service}/docs, health: {service}/ready)
Supabase       {supabase}
Keys, tokens   {state_dir / "local.json"}; `leadhook local env` prints them for a shell
Logs           {state_dir / "service.log"}

Insert your own lead from another terminal:
  {_path_line()}
  eval "$(leadhook local env {where})"
  add() {{ curl -sS "$SUPABASE_URL/rest/v1/$1" -H "apikey: $SUPABASE_SECRET_KEY" \\
    -H "Content-Type: application/json" -d "$2"; }}
  add lead_details '{{"lead_id":"mine-1","name":"Eva Brandt","title":"Head of Logistics"}}'
  add all_leads '{{"lead_id":"mine-1","user_id":"{user_id}","tag":"{tag}","scrapped":true}}'
  leadhook explain mine-1

Ctrl-C stops everything; data is kept. New answers:"""


def _console_path(facts: dict[str, object]) -> str:
    """Return the path of a link that signs in once, within an hour; without one, the token is asked for."""
    answer = ask(str(facts["service_url"]), "/console/links", "POST", Authorization=f"Bearer {facts['admin_token']}")
    return json.loads(answer[1]).get("path", "/console") if answer else "/console"


def _bare_welcome(state_dir: Path) -> str:
    where = shlex.quote(str(state_dir))
    return f"""
The database does not contain leadhook. Load a dump of your project and rehearse
the install, from another terminal:
  {_path_line()}
  eval "$(leadhook local env {where})"
  psql "$DATABASE_URL" -f your-dump.sql
  leadhook install --plan
  leadhook install --url "$SERVICE_URL/webhooks/leads"
  leadhook serve    # after setting the WEBHOOK_SECRETS that install prints

Errors from psql about pg_graphql, storage, realtime or tables of auth other than
auth.users are expected, because this stack does not have them.

Ctrl-C stops everything; data is kept."""
