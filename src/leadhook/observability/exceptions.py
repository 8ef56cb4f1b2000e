"""An exception as plain JSON: type, message where it can't quote a lead, and places; never local variables."""

import traceback
from types import TracebackType
from typing import Any, Final

from leadhook.observability.redaction import HIDDEN

MOST_FRAMES: Final = 40
MOST_EXCEPTIONS: Final = 12

_SPEAKING: Final = (
    OSError,
    ImportError,
    AttributeError,
    NameError,
    TypeError,
    MemoryError,
    IndexError,
    ArithmeticError,
    BaseExceptionGroup,
)
"""Their messages name places and types; those of `ValueError`, `KeyError` and most libraries quote their input."""


def describe(error: BaseException) -> list[dict[str, Any]]:
    """The exception, then its causes.

    An exception group's members follow it like causes.
    """
    told: list[dict[str, Any]] = []
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting and len(told) < MOST_EXCEPTIONS:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        told.append(_one(current))
        waiting.append(current.__cause__ or (None if current.__suppress_context__ else current.__context__))
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
    return told


def as_text(told: list[dict[str, Any]]) -> str:
    """The same for people."""
    return "\n".join(
        f"{one['exc_type']}: {one['exc_value']}"
        + "".join(f"\n  {frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in one["frames"])
        for one in told
    )


def _one(error: BaseException) -> dict[str, Any]:
    return {"exc_type": type(error).__name__, "exc_value": _message(error), "frames": _frames(error.__traceback__)}


def _message(error: BaseException) -> str:
    ours = type(error).__module__.partition(".")[0] == "leadhook"
    if not ours and not isinstance(error, _SPEAKING):
        return HIDDEN
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a line about trouble must not raise on its own
        return f"<raises {type(broken).__name__}>"


def _frames(trace: TracebackType | None) -> list[dict[str, Any]]:
    frames = traceback.StackSummary.extract(traceback.walk_tb(trace), limit=-MOST_FRAMES, lookup_lines=False)
    return [{"filename": frame.filename, "lineno": frame.lineno, "name": frame.name} for frame in frames]
