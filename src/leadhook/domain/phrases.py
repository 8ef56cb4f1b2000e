"""Formats times and numbers for sentences."""

from datetime import UTC, datetime
from typing import Final

from leadhook.domain.status import COUNTED_UP_TO

_UNITS: Final = ((1.0, "second", 90), (60.0, "minute", 90), (3600.0, "hour", 36), (86400.0, "day", 1_000_000))
"""Length in seconds, name, and the number of them from which the next unit is used."""


def moment(time: datetime, now: datetime | None = None) -> str:
    """`2026-11-23T07:42:01Z (3 minutes ago)`; without `now`, the time alone."""
    exact = f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return exact if now is None else f"{exact} ({distance(time, now)})"


def distance(time: datetime, now: datetime) -> str:
    """`in 40 seconds`, `3 minutes ago`, `now`."""
    seconds = (time - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    words = _length(abs(seconds))
    return f"in {words}" if seconds > 0 else f"{words} ago"


def duration_words(ms: float) -> str:
    """`40 seconds`, `3 minutes`."""
    return _length(max(ms / 1000, 1))


def count(number: int) -> str:
    """`3`, `1,000 or more`."""
    return f"{number:,}{' or more' if number >= COUNTED_UP_TO else ''}"


def count_words(number: int, noun: str) -> str:
    """`3 leads`, `1 lead`, `1,000 or more leads`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def amount(number: int, noun: str) -> str:
    """`1 key`, `2 keys`: an exact number."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clause(reason: str | None) -> str:
    """Format a reason as the end of another sentence, without a full stop."""
    return (reason or "no reason was given").strip().rstrip(".")


def sentence(reason: str) -> str:
    """Format a reason as a sentence, with a capital and a full stop."""
    return f"{reason[:1].upper()}{reason[1:].rstrip('.')}."


def _length(seconds: float) -> str:
    number, name = next((round(seconds / unit), name) for unit, name, most in _UNITS if seconds / unit < most)
    return f"{number} {name}{'' if number == 1 else 's'}"
