"""Removes secrets and e-mail addresses from every log line, including those of libraries.

It checks the names of fields, the shapes of values, and the actual secrets that this process knows. It runs last before
the renderer, so that it also covers records of libraries and texts of exceptions.
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
"""Hiding a shorter "secret" would hide ordinary words."""
LONGEST_SECRET: Final = 1_000
"""Only the beginning of a longer secret is compared; everything after it is hidden too."""
MOST_KEYS: Final = 1_000
"""Maximum number of Gemini keys; those that no claim has returned for the longest time are forgotten first."""
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
"""No shape can match a text without one of these, and most texts contain none."""

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
"""Messages of these contain only places and types; those of `ValueError`, `KeyError` and most libraries quote input."""


class Redactor:
    """A structlog processor that also knows the secrets of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._literal: re.Pattern[str] | None = None

    def remember(self, secrets: Iterable[str]) -> None:
        """Hide these values from now on, wherever they occur. Values of less than 8 characters are ignored."""
        with self._lock:
            known = self._known.union(secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
            if known != self._known:
                self._known = known
                self._compile()

    def remember_keys(self, keys: Iterable[str]) -> None:
        """Hide these Gemini keys while they are among the 1,000 most recent ones."""
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
        # Longest first: a secret that begins with another one must be hidden completely.
        self._literal = re.compile(
            "|".join(map(_pattern, sorted(spelled, key=len, reverse=True))) or r"(?!)", re.DOTALL
        )

    def __call__(self, _logger: Any, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the event as plain JSON values without secrets."""
        return {self.text(str(name)): self._field(str(name), value, 0) for name, value in event_dict.items()}

    def text(self, text: str) -> str:
        """Return the text without secrets, truncated after 8,000 characters."""
        length = len(text)
        if length > LONGEST_TEXT:
            # The rest is not examined, to save time. The margin is removed below, with any part of a secret at its end.
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
    """Return the value as it is, and as URLs, JSON and Python represent it."""
    return secret, quote(secret, safe="", errors="surrogatepass"), json.dumps(secret)[1:-1], repr(secret)[1:-1]


def _pattern(secret: str) -> str:
    return re.escape(secret) if len(secret) <= LONGEST_SECRET else f"{re.escape(secret[:LONGEST_SECRET])}.*"


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a line about trouble must not raise on its own
        return f"<{type(value).__name__} that raises {type(error).__name__}>"


redactor: Final = Redactor()
"""The redactor of this process. Register later secrets with `remember`, Gemini keys with `remember_keys`."""


def describe_exception(error: BaseException) -> list[dict[str, Any]]:
    """Return an exception and its causes as plain JSON: type, message unless it may quote a lead, and places.

    Members of an exception group follow it like causes. Local variables are never shown.
    """
    exceptions: list[dict[str, Any]] = []
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting and len(exceptions) < MOST_EXCEPTIONS:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        frames = _frames(current.__traceback__)
        exceptions.append({"exc_type": type(current).__name__, "exc_value": _message(current), "frames": frames})
        waiting.append(current.__cause__ or (None if current.__suppress_context__ else current.__context__))
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
    return exceptions


def exception_text(exceptions: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"{one['exc_type']}: {one['exc_value']}"
        + "".join(f"\n  {frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in one["frames"])
        for one in exceptions
    )


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
