"""How the findings are shown, and the exit code that they make."""

import asyncio
import json
import sys

from rich.console import Console
from rich.text import Text

from leadhook.doctor.examination import examine
from leadhook.doctor.finding import Finding, Level

_SIGNS = {Level.OK: ("ok", "green"), Level.WARNING: ("warning", "yellow"), Level.FAULT: ("fault", "red")}


def run(*, live: bool, at: str | None, as_json: bool) -> int:
    """`leadhook doctor`.

    Returns:
        0 when nothing is at fault (warnings may be), else 1.
    """
    console = Console(highlight=False, soft_wrap=True)
    found: list[Finding] = []

    def tell(finding: Finding) -> None:
        found.append(finding)
        if not as_json:
            console.print(_line(finding))

    asyncio.run(examine(tell, live=live, at=at))
    counts = {level: sum(finding.level is level for finding in found) for level in Level}
    if as_json:
        told = {"counts": counts, "findings": [finding.model_dump() for finding in found]}
        sys.stdout.write(f"{json.dumps(told, indent=2)}\n")
    else:
        console.print(f"\n{counts[Level.FAULT]} faults, {counts[Level.WARNING]} warnings, {counts[Level.OK]} ok")
    return 1 if counts[Level.FAULT] else 0


def _line(finding: Finding) -> Text:
    word, colour = _SIGNS[finding.level]
    line = Text.assemble((f"{word:8}", colour), (f"{finding.about:11}", "bold"), finding.sentence)
    return line.append(f"\n{'':19}→ {finding.mend}", "dim") if finding.mend else line
