"""One line of the report, and the rules shared with `/ready` and `leadhook status` as such lines."""

from enum import StrEnum
from typing import Final

from leadhook.domain.facts import Facts
from leadhook.domain.findings import Code, Finding, check_status, check_workers, leads_dead
from leadhook.domain.status import Status

_ABOUT: Final[dict[str, str]] = {
    Code.TRIGGER_MISSING: "triggers",
    Code.VAULT_UNREADABLE: "webhooks",
    Code.WEBHOOK_NOT_SET_UP: "webhooks",
    Code.FOREIGN_CODE: "webhooks",
    Code.OUTBOX_GUARDED: "webhooks",
    Code.NO_KEY: "keys",
    Code.KEYS_REFUSED: "keys",
    Code.KEYS_COOLING: "keys",
    Code.SCHEMA_OUTDATED: "database",
    Code.SCHEMA_NEWER: "database",
}
"""Every other code is about leads."""
_LEFT_TO_THE_SWEEP: Final = (
    Code.TRIGGER_MISSING,
    Code.VAULT_UNREADABLE,
    Code.WEBHOOK_NOT_SET_UP,
    Code.FOREIGN_CODE,
    Code.OUTBOX_GUARDED,
)
"""The service is ready, but leads wait up to SWEEP_INTERVAL_SEC."""


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """The service works, but less well or less safely than it could."""
    FAULT = "fault"
    """Leads wait, or will."""
    SKIPPED = "skipped"
    """It could not be checked from here."""


class Check(Facts):
    about: str
    """`settings`, `supabase`, `database`, `triggers`, `grants`, `webhooks`, `pg_net`, `keys`, `model`, `leads`,
    `service`, `round trip`, `clock` or `logs`."""
    level: Level
    code: str | None = None
    """Set where `/ready` or `leadhook status` report the same."""
    sentence: str
    remedy: str | None = None
    """What to do, or the SQL to run."""


def ok(about: str, sentence: str) -> Check:
    return Check(about=about, level=Level.OK, sentence=sentence)


def warning(about: str, sentence: str, remedy: str) -> Check:
    return Check(about=about, level=Level.WARNING, sentence=sentence, remedy=remedy)


def fault(about: str, sentence: str, remedy: str) -> Check:
    return Check(about=about, level=Level.FAULT, sentence=sentence, remedy=remedy)


def shared(level: Level, finding: Finding) -> Check:
    """Turn a finding that `/ready` and `leadhook status` also make into a line of the report."""
    about = _ABOUT.get(finding.code, "leads")
    return Check(about=about, level=level, code=finding.code, sentence=finding.sentence, remedy=finding.remedy)


def check_installation(status: Status, sweep_interval_s: float) -> list[Check]:
    """Find everything that keeps leads waiting, from the status that the database reports."""
    found = check_status(status)
    late = [finding for finding in found.warnings if finding.code in _LEFT_TO_THE_SWEEP]
    warnings = [finding for finding in found.warnings if finding.code not in _LEFT_TO_THE_SWEEP]
    if dead := status.jobs.get("dead", 0):
        warnings.append(leads_dead(dead))
    faults = [*found.reasons, *late, *check_workers(status, sweep_interval_s)]
    return [shared(Level.FAULT, each) for each in faults] + [shared(Level.WARNING, each) for each in warnings]
