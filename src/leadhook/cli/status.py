"""`leadhook status`: reads everything from the database, so it works while the service is down."""

from collections.abc import Iterable
from typing import Final

from leadhook.cli.asking import ask
from leadhook.cli.options import AsJson
from leadhook.cli.output import INDENT, entry, line, open_console, print_json
from leadhook.domain.findings import Findings, check_everything
from leadhook.domain.phrases import count, duration_words
from leadhook.domain.spend import dollars
from leadhook.domain.status import Status
from leadhook.settings import load_settings

_FUNNEL: Final = ("waiting", "held", "ready", "leased", "done", "dead")


def status(*, as_json: AsJson = False) -> int:
    """Show the current state on one screen.

    Shows what keeps leads waiting and how to fix it, the number of leads in each state, the longest wait, the workers,
    keys and spend. The exit code is 1 if something keeps leads waiting.

    For example: `leadhook status --json`
    """
    settings = load_settings()
    found = ask(lambda store: store.status(), settings)
    findings = check_everything(found, settings.sweep_interval_sec)
    if as_json:
        reasons = {"reasons": [str(finding) for finding in findings.reasons]}
        warnings = {"warnings": [str(finding) for finding in findings.warnings]}
        print_json({**found.model_dump(mode="json", by_alias=True), **reasons, **warnings})
    else:
        _print(found, findings)
    return 1 if findings.reasons else 0


def _print(found: Status, findings: Findings) -> None:
    console = open_console()
    health = "Leads can't be claimed because:" if findings.reasons else "Nothing keeps leads waiting."
    line(console, health, "bold")
    for style, every in (("red", findings.reasons), ("yellow", findings.warnings)):
        for finding in every:
            line(console, finding.sentence, style, indent=INDENT)
            line(console, f"→ {finding.remedy}", indent=2 * INDENT)
    console.print()
    for name, words in _lines(found):
        entry(console, name, words)


def _lines(found: Status) -> Iterable[tuple[str, str]]:
    keys, spend = found.keys, found.spend
    yield "leads", ", ".join(f"{count(found.jobs.get(state, 0))} {state}" for state in _FUNNEL)
    if found.without_message:
        buy = "`leadhook replay --outcome saved_without_message` buys the message alone"
        yield "messages", f"{count(found.without_message)} done without one; {buy}"
    yield "oldest", _wait(found)
    yield "workers", _workers(found)
    yield "changes", f"{count(found.outbox)} waiting to be applied"
    parked = f"{keys.cooling} cooling down, {keys.disabled} that cannot be sent"
    yield "keys", f"{keys.healthy} of {keys.total} usable, {keys.untried} of them untried; {parked}"
    spent = f"{dollars(spend.spent_usd)} spent, {dollars(spend.wasted_usd)} of it wasted"
    yield "today", f"{spent}, {dollars(spend.reserved_usd)} reserved"
    for budget in found.budgets:
        yield "budget", f"{dollars(max(budget.left_usd, 0))} left of ${budget.daily_usd:g} for {budget.whose}"
    yield "schema", found.migration or "no migration recorded by `leadhook migrate`"


def _wait(found: Status) -> str:
    if found.oldest_ready_ms is None:
        return "no lead is waiting to be claimed"
    return f"the oldest ready lead has waited {found.oldest_ready_ms / 1000:,.1f} s"


def _workers(found: Status) -> str:
    if not found.workers:
        return "none seen yet"
    newest = found.workers[0]
    claimed = "no claim yet" if newest.claimed_ms is None else f"claimed {duration_words(newest.claimed_ms)} ago"
    swept = "no sweep yet" if newest.swept_ms is None else f"swept {duration_words(newest.swept_ms)} ago"
    others = len(found.workers) - 1
    more = f"; {others} more {'was' if others == 1 else 'were'} seen within a day" if others else ""
    return f"{newest.worker}: {claimed}, {swept}{more}"
