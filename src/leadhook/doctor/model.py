"""Whether the model that is set has a future."""

from datetime import UTC, date, datetime
from typing import Final

from leadhook.doctor.check import Check, fault, ok, warning

ENDS: Final = {
    "gemini-2.0-flash": date(2026, 6, 1),
    "gemini-2.0-flash-lite": date(2026, 6, 1),
    "gemini-2.5-flash": date(2026, 12, 1),
    "gemini-2.5-pro": date(2026, 12, 1),
}
"""Google's announced shutdowns, as read in November 2026."""
NEXT: Final = "GEMINI_MODEL=gemini-3.5-flash-lite"


def check_model(model: str, *, priced: bool = True, today: date | None = None) -> list[Check]:
    """What is known of it without asking Google.

    Args:
        model: its name.
        priced: the price file has it.
        today: None is now.
    """
    ends = ENDS.get(model.removeprefix("models/"))
    if ends is None and not priced:
        words = f"{model} is not a model that leadhook knows: neither its price nor its shutdown date."
        fix = (
            f"leadhook doctor --live asks Google whether there is such a model; {NEXT} is known; "
            "GEMINI_PRICE_FILE may have its price (docs/spend.md)."
        )
        return [warning("model", words, fix)]
    if ends is None:
        return [ok("model", f"{model} is used; no shutdown date is known for it.")]
    if ends <= (today or datetime.now(UTC).date()):
        return [fault("model", f"Google ended {model} on {ends}.", NEXT)]
    return [warning("model", f"Google ends {model} on {ends}.", NEXT)]
