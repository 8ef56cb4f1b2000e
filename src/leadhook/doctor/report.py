"""How the findings are shown, and the exit code that they make."""

import asyncio
import json
import sys

from rich.console import Console

from leadhook.doctor.examination import examine
from leadhook.doctor.finding import Finding, Level
from leadhook.domain.standing.words import amount
from leadhook.terminal.page import entry, line, open_console

_SIGNS = {Level.OK: ("ok", "green"), Level.WARNING: ("warning", "yellow"), Level.FAULT: ("fault", "red")}

_NAMES_WIDTH = 18


def run(*, live: bool, at: str | None, as_json: bool) -> int:
    """`leadhook doctor`.

    Returns:
        0 when nothing is at fault (warnings may be), 2 when a setting is, else 1.
    """
    console = open_console()
    found: list[Finding] = []

    def tell(finding: Finding) -> None:
        found.append(finding)
        if not as_json:
            _show(finding, console)

    asyncio.run(examine(tell, live=live, at=at))
    counts = {level: sum(finding.level is level for finding in found) for level in Level}
    if as_json:
        told = {"counts": counts, "findings": [finding.model_dump() for finding in found]}
        sys.stdout.write(f"{json.dumps(told, indent=2)}\n")
    else:
        faults, warnings = amount(counts[Level.FAULT], "fault"), amount(counts[Level.WARNING], "warning")
        line(console, f"{faults}, {warnings}, {counts[Level.OK]} ok")
    if any(finding.level is Level.FAULT and finding.about == "settings" for finding in found):
        return 2
    return 1 if counts[Level.FAULT] else 0


def _show(finding: Finding, console: Console) -> None:
    word, colour = _SIGNS[finding.level]
    entry(console, f"{word:8}{finding.about}", finding.sentence, width=_NAMES_WIDTH, style=colour)
    if finding.mend:
        entry(console, "", f"→ {finding.mend}", width=_NAMES_WIDTH)
