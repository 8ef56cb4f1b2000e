"""Renders a lead for the model: allowed fields only, each limited in length, without invisible characters.

Every line starts with a field name or, if a value continues, with a bar. So the lead's own text never starts a line,
where it could be mistaken for a field, a fence or a turn of the conversation.
"""

import json
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from leadhook.domain.lead import Lead
from leadhook.gemini.injection_signals import find_signals
from leadhook.gemini.sanitize import hides_text, strip_fence_marks, strip_invisible

FIELDS: Final = {
    "name": 200,
    "title": 300,
    "location": 200,
    "company_name": 200,
    "experience": 4_000,
    "skills": 1_500,
    "bio": 4_000,
    "profile_url": 300,
    "linkedin_url": 300,
    "company_page_url": 300,
}
"""The fields that may be sent, in this order, with their limits in characters. Cut values are marked as cut."""
NOTHING_KNOWN: Final = "(nothing is known of this lead)"
ITEMS: Final = 40
"""Limit for a JSON list or object."""
NESTED_ITEMS: Final = 12
DEEPEST: Final = 4
ITEM_CHARACTERS: Final = 800
KEY_CHARACTERS: Final = 60

_STRUCTURED: Final = ("experience", "skills")
_LONG: Final = (*_STRUCTURED, "bio")
_LONGEST_JSON: Final = 1_000_000
_NOTHING: Final[tuple[JsonValue, ...]] = (None, "", [], {})


@dataclass(frozen=True, slots=True)
class Rendering:
    """A lead as it is sent to the model."""

    text: str
    hides_text: bool

    @property
    def flags(self) -> tuple[str, ...]:
        """Codes of everything in the text that looks like an attempt to manipulate the model."""
        signals = find_signals(self.text)
        return (*signals, "invisible_characters") if self.hides_text else signals


def render(lead: Lead) -> Rendering:
    """Render the non-empty fields of a lead."""
    lines = []
    hidden = False
    for name, limit in FIELDS.items():
        value = getattr(lead, name)
        if value in _NOTHING:
            continue
        raw = "\n".join(_lines(value, structured=name in _STRUCTURED))
        seen = raw[: limit * 4]
        hidden = hidden or hides_text(seen)
        shown = "\n| ".join(
            line for part in strip_fence_marks(strip_invisible(seen)).splitlines() if (line := part.strip())
        )
        if name not in _LONG:
            shown = shown.replace("\n| ", " ")
        if shown:
            lines.append(f"{name}: {_cut(shown, limit, len(raw) - len(seen))}")
    return Rendering("\n".join(lines) or NOTHING_KNOWN, hidden)


def _lines(value: JsonValue, *, structured: bool) -> list[str]:
    if structured and isinstance(value, str):
        value = _parsed(value)
    match value:
        case str():
            return [value]
        case list() if any(isinstance(item, list | dict) for item in value):
            items = [f"- {_item(item)}" for item in value[:ITEMS] if item not in _NOTHING]
            return ["", *items, *_left_out(len(value) - ITEMS)]
        case dict():
            pairs = list(value.items())[:ITEMS]
            items = [f"- {_key(key)}: {_item(item)}" for key, item in pairs if item not in _NOTHING]
            return ["", *items, *_left_out(len(value) - ITEMS)]
        case _:
            return [_inline(value, 0, ITEMS)]


def _parsed(text: str) -> JsonValue:
    """Parse JSON that is stored in a text column."""
    if len(text) > _LONGEST_JSON or not text.lstrip().startswith(("[", "{")):
        return text
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _item(value: JsonValue) -> str:
    return _cut(_inline(value, 1, NESTED_ITEMS), ITEM_CHARACTERS)


def _inline(value: JsonValue, depth: int, most: int) -> str:
    match value:
        case str():
            return " ".join(value.split())
        case bool():
            return "yes" if value else "no"
        case list() | dict() if depth > DEEPEST:
            return "[cut here: nested too deep]"
        case list():
            parts = [_inline(item, depth + 1, NESTED_ITEMS) for item in value[:most] if item not in _NOTHING]
            return ", ".join([*parts, *_left_out(len(value) - most)])
        case dict():
            pairs = list(value.items())[:most]
            parts = [f"{_key(k)}: {_inline(v, depth + 1, NESTED_ITEMS)}" for k, v in pairs if v not in _NOTHING]
            return "; ".join([*parts, *_left_out(len(value) - most)])
        case _:
            return json.dumps(value)


def _key(key: str) -> str:
    return _cut(" ".join(key.split()), KEY_CHARACTERS)


def _left_out(count: int) -> list[str]:
    return [f"[cut here: {count} more]"] if count > 0 else []


def _cut(text: str, limit: int, unseen: int = 0) -> str:
    more = len(text) - limit
    if more <= 0 and unseen == 0:
        return text
    return f"{text[:limit]} [cut here: {max(more, 0) + unseen} more characters]"
