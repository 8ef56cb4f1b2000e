"""`leadhook doctor`: prints each finding of `leadhook.doctor` as soon as it is known."""

import asyncio
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console

from leadhook.cli.options import AsJson
from leadhook.cli.output import entry, line, open_console, print_json
from leadhook.doctor.check import Check, Level
from leadhook.doctor.examination import examine
from leadhook.domain.phrases import amount
from leadhook.install.webhooks import check_url

_SIGNS: Final = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("warning", "yellow"),
    Level.FAULT: ("fault", "red"),
    Level.SKIPPED: ("skipped", "dim"),
}
_NAMES_WIDTH: Final = 18


def _check_service(_: object, url: str | None) -> None:
    if url:
        check_url(url)


def doctor(
    *,
    live: Annotated[bool, Parameter(negative="", help="Check every key with Google, free of charge.")] = False,
    service: Annotated[
        str | None,
        Parameter(
            validator=_check_service,
            help="The service's address, e.g. https://leads.example.com. Default: where webhooks are sent.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Check the whole installation, and explain how to fix each problem.

    Checks settings, database, webhooks, keys and service. DATABASE_URL is optional and adds the checks that need the
    database owner's rights. Nothing is changed; one test webhook without a lead is sent. The exit code is 1 if there is
    a problem, 2 if a setting is invalid.

    For example: `leadhook doctor --live`
    """
    console = open_console()
    found: list[Check] = []

    def report(finding: Check) -> None:
        found.append(finding)
        if not as_json:
            _show(finding, console)

    asyncio.run(examine(report, live=live, at=service.rstrip("/") if service else None))
    counts = {level: sum(finding.level is level for finding in found) for level in Level}
    if as_json:
        print_json({"counts": counts, "findings": [finding.model_dump() for finding in found]})
    else:
        faults, warnings = amount(counts[Level.FAULT], "fault"), amount(counts[Level.WARNING], "warning")
        line(console, f"{faults}, {warnings}, {counts[Level.OK]} ok, {counts[Level.SKIPPED]} skipped")
    if any(finding.level is Level.FAULT and finding.about == "settings" for finding in found):
        return 2
    return 1 if counts[Level.FAULT] else 0


def _show(finding: Check, console: Console) -> None:
    word, colour = _SIGNS[finding.level]
    entry(console, f"{word:8}{finding.about}", finding.sentence, width=_NAMES_WIDTH, style=colour)
    if finding.remedy:
        entry(console, "", f"→ {finding.remedy}", width=_NAMES_WIDTH)
