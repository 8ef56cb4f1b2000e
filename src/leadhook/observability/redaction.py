"""Keeps secrets and mail addresses out of every log line, whoever wrote it.

Three nets, one behind the other: names of fields, shapes of values, and the very secrets that this process knows. It
runs last before the renderer, so that records of libraries and texts of exceptions pass through it too.
"""

import json
import math
import re
import threading
import traceback
from collections import OrderedDict
from collections.abc import Iterable, Mapping, MutableMapping
from itertools import islice
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

HIDDEN: Final = "[hidden]"
SHORTEST_SECRET: Final = 8
"""A shorter "secret" would blot out ordinary words."""
LONGEST_SECRET: Final = 1_000
"""Of a longer one the beginning counts, and all that follows it goes too."""
MOST_KEYS: Final = 1_000
"""Gemini keys; those that no claim brought for the longest time are forgotten first."""
LONGEST_TEXT: Final = 8_000
DEEPEST: Final = 12
MOST_ITEMS: Final = 200

_SECRET_NAME: Final = re.compile(
    r"(?:^|[_.-])(?:api[_-]?keys?|authorization|token|admin_tokens|secrets?|passwords?|credentials?|cookies?|jwt|signature|dsn)"
    r"(?:$|[_.-])",
    re.IGNORECASE,
)
_SHAPES: Final = (
    (re.compile(r"input_value=.*?, input_type=", re.DOTALL), f"input_value={HIDDEN}, input_type="),
    (re.compile(r"AIza[\w-]{20,}|\bAQ\.[\w-]{20,}"), HIDDEN),
    (re.compile(r"\bsb_(?:secret|publishable)_[\w-]+"), HIDDEN),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), HIDDEN),
    (re.compile(r"\bwhsec_[\w+/=-]+"), HIDDEN),
    (re.compile(r"\bv1,[A-Za-z0-9+/]{43}="), HIDDEN),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"([?&](?:key|api_?key|token|access_token|signature)=)[^&\s\"']+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(password\s*=\s*)[^\s\"']+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"://[^/\s@]*@"), f"://{HIDDEN}@"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"), HIDDEN),
)
_ANY_SHAPE: Final = re.compile(r"input_value=|AIza|AQ\.|sb_|eyJ|whsec_|v1,|[?&]|://|@|(?i:bearer|basic|password)")
"""Without one of these no shape can match; most texts have none."""

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


class Redactor:
    """A structlog processor; also knows the literal secrets of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._literal: re.Pattern[str] | None = None

    def remember(self, secrets: Iterable[str]) -> None:
        """Hide these values for good, wherever they stand; values of less than 8 characters are left alone."""
        with self._lock:
            known = self._known.union(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
            if known != self._known:
                self._known = known
                self._compile()

    def remember_keys(self, keys: Iterable[str]) -> None:
        """Hide these Gemini keys, as long as they are among the 1,000 that were named last."""
        with self._lock:
            news = False
            for key in keys:
                if len(key) >= SHORTEST_SECRET:
                    news |= key not in self._keys
                    self._keys[key] = None
                    self._keys.move_to_end(key)
            while len(self._keys) > MOST_KEYS:
                self._keys.popitem(last=False)
            if news:
                self._compile()

    def _compile(self) -> None:
        spelled = {form for secret in (*self._known, *self._keys) for form in _spellings(secret)}
        # The longest first: a secret that begins with another one must go as a whole.
        self._literal = re.compile(
            "|".join(map(_pattern, sorted(spelled, key=len, reverse=True))) or r"(?!)", re.DOTALL
        )

    def __call__(self, _logger: Any, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the event as plain JSON values without secrets."""
        return {self.text(str(name)): self._field(str(name), value, 0) for name, value in event_dict.items()}

    def text(self, text: str) -> str:
        """The text without secrets, cut off after 8,000 characters."""
        length = len(text)
        if length > LONGEST_TEXT:
            # Longer ones are not looked at: somebody waits. The margin goes again below, with any half of a secret.
            text = text[: LONGEST_TEXT + LONGEST_SECRET]
        if self._literal is not None:
            text = self._literal.sub(HIDDEN, text)
        if _ANY_SHAPE.search(text):
            for shape, replacement in _SHAPES:
                text = shape.sub(replacement, text)
        return text if length <= LONGEST_TEXT else f"{text[:-LONGEST_SECRET][:LONGEST_TEXT]}… ({length} characters)"

    def _field(self, name: str, value: Any, depth: int) -> Any:
        if _SECRET_NAME.search(name) and not isinstance(value, bool | int | float | None):
            return HIDDEN
        return self._value(value, depth)

    def _value(self, value: Any, depth: int) -> Any:
        if depth > DEEPEST:
            return "…"
        match value:
            case str():
                shown: Any = self.text(str(value))
            case Mapping():
                items = islice(value.items(), MOST_ITEMS)
                shown = {self.text(str(name)): self._field(str(name), item, depth + 1) for name, item in items}
            case list() | tuple() | set() | frozenset():
                shown = [self._value(item, depth + 1) for item in islice(value, MOST_ITEMS)]
            case None | bool() | int():
                shown = value
            case float() if math.isfinite(value):
                shown = value
            case _:
                shown = self.text(_shown(value))
        return shown


def _spellings(secret: str) -> tuple[str, ...]:
    """As it is, and as URLs, JSON and Python show it."""
    return secret, quote(secret, safe="", errors="surrogatepass"), json.dumps(secret)[1:-1], repr(secret)[1:-1]


def _pattern(secret: str) -> str:
    return re.escape(secret) if len(secret) <= LONGEST_SECRET else f"{re.escape(secret[:LONGEST_SECRET])}.*"


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a line about trouble must not raise on its own
        return f"<{type(value).__name__} that raises {type(error).__name__}>"


redactor: Final = Redactor()
"""The process's own, as there is one log; tell it every secret that comes in later, Gemini keys by `remember_keys`."""


def describe_exception(error: BaseException) -> list[dict[str, Any]]:
    """Return the exception, then its causes, as plain JSON: type, message unless it may quote a lead, and places.

    The members of an exception group follow it like causes. Local variables are never shown.
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


def exception_text(told: list[dict[str, Any]]) -> str:
    """Return a described exception as text."""
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
