"""`leadhook status`: one screen, asked of the database itself, so that it works while the service is down."""

import sys
from collections.abc import Iterable
from typing import Final

from rich.console import Console
from rich.text import Text

from leadhook.settings import Settings
from leadhook.store import Status
from leadhook.terminal.asking import ask
from leadhook.terminal.page import printable
from leadhook.web.readiness import COUNTED_UP_TO, Findings, judge_database

_FUNNEL: Final = ("waiting", "held", "ready", "leased", "done", "dead")


def status(settings: Settings, *, as_json: bool) -> int:
    """Ask and print; the exit code: 1 when something keeps leads from being worked on."""
    found = ask(settings, lambda store: store.status())
    findings = judge_database(found)
    if as_json:
        sys.stdout.write(f"{found.model_dump_json(by_alias=True, indent=2)}\n")
    else:
        _print(found, findings)
    return 1 if findings.reasons else 0


def _print(found: Status, findings: Findings) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    health = "Leads are kept from being worked on:" if findings.reasons else "Nothing keeps leads from being worked on."
    console.print(Text(health, style="bold"))
    for style, sentences in (("red", findings.reasons), ("yellow", findings.warnings)):
        for sentence in sentences:
            console.print(Text(f"  {printable(sentence)}", style=style), soft_wrap=True)
    console.print()
    for name, words in _lines(found):
        console.print(Text.assemble((f"{name:9}", "bold"), words), soft_wrap=True)


def _lines(found: Status) -> Iterable[tuple[str, str]]:
    keys, spend = found.keys, found.spend
    yield "leads", ", ".join(f"{_count(found.jobs.get(state, 0))} {state}" for state in _FUNNEL)
    yield "oldest", _wait(found)
    yield "touches", f"{_count(found.touches)} not looked at yet"
    parked = f"{keys.cooling} resting, {keys.disabled} refused"
    yield "keys", f"{keys.healthy} of {keys.total} usable, {keys.untried} of them untried; {parked}"
    yield (
        "today",
        f"${spend.spent_usd:.4f} spent, ${spend.wasted_usd:.4f} of it in vain, ${spend.reserved_usd:.4f} reserved",
    )
    for budget in found.budgets:
        yield "budget", f"${budget.left_usd:.4f} left of ${budget.daily_usd:g} for {budget.user_id or 'all users'}"
    yield "schema", found.migration or "not migrated by `leadhook migrate`"


def _wait(found: Status) -> str:
    if found.oldest_ready_ms is None:
        return "no lead is ready"
    return f"the longest ready lead waits for {found.oldest_ready_ms / 1000:,.1f} s"


def _count(n: int) -> str:
    return f"{n} or more" if n >= COUNTED_UP_TO else f"{n}"
