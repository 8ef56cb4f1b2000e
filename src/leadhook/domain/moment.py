"""A time as people read it: exactly, and how far away it is."""

from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ((1.0, "second", 90), (60.0, "minute", 90), (3600.0, "hour", 36), (86400.0, "day", 1_000_000))
"""Length in seconds, name, and up to how many of them it is used."""


def moment(time: datetime, now: datetime) -> str:
    """`2026-11-23T07:42:01Z (3 minutes ago)`."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} ({distance(time, now)})"


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


def _length(seconds: float) -> str:
    count, name = next((round(seconds / unit), name) for unit, name, most in _UNITS if seconds / unit < most)
    return f"{count} {name}{'' if count == 1 else 's'}"
