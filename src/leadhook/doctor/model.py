"""Whether the model that is set has a future."""

from datetime import UTC, date, datetime
from typing import Final

from leadhook.doctor.finding import Finding, fault, ok, warning

ENDS: Final = {
    "gemini-2.0-flash": date(2026, 6, 1),
    "gemini-2.0-flash-lite": date(2026, 6, 1),
    "gemini-2.5-flash": date(2026, 12, 1),
    "gemini-2.5-pro": date(2026, 12, 1),
}
"""Google's announced shutdowns, as read in November 2026."""
NEXT: Final = "GEMINI_MODEL=gemini-3.5-flash-lite"


def judge_model(model: str, today: date | None = None) -> list[Finding]:
    """What is known of it without asking Google."""
    ends = ENDS.get(model)
    if ends is None:
        return [ok("model", f"{model} is used; no end of it is known here.")]
    if ends <= (today or datetime.now(UTC).date()):
        return [fault("model", f"Google ended {model} on {ends}.", NEXT)]
    return [warning("model", f"Google ends {model} on {ends}.", NEXT)]
