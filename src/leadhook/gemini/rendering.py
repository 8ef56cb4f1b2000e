"""Renders a lead for the model: allowed fields only, each limited in length, as a person would read them.

Every line starts with a field name or, if a value continues, with a bar. So the lead's own text never starts a line,
where it could be mistaken for a field, a fence or a turn of the conversation.
"""

import json
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from leadhook.domain.lead import Lead
from leadhook.gemini.injection_signals import find_signals
from leadhook.gemini.sanitize import as_read, hides_text, says_nothing, strip_fence_marks, strip_invisible

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
_JSON_BEGINS: Final = ("[", "{", '"[', '"{', '"\\"')
_NOTHING: Final[tuple[JsonValue, ...]] = (None, [], {})
_LONGEST_NOTHING: Final = 200


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
        if _is_nothing(value):
            continue
        raw = "\n".join(_lines(value, structured=name in _STRUCTURED))
        seen = raw[: limit * 4]
        hidden = hidden or hides_text(seen)
        shown = "\n| ".join(
            line for part in strip_fence_marks(strip_invisible(seen)).splitlines() if (line := part.strip())
        )
        if name not in _LONG:
            shown = shown.replace("\n| ", " ")
        if not says_nothing(shown):
            lines.append(f"{name}: {_cut(shown, limit, len(raw) - len(seen))}")
    return Rendering("\n".join(lines) or NOTHING_KNOWN, hidden)


def without_free_text(lead: Lead) -> Lead:
    """Return the lead without its long texts, and without any other field that holds an injection signal."""
    flagged = [
        name for name in FIELDS if name not in _LONG and render(Lead(lead_id="", **{name: getattr(lead, name)})).flags
    ]
    return lead.model_copy(update=dict.fromkeys([*_LONG, *flagged]))


def _is_nothing(value: JsonValue) -> bool:
    if isinstance(value, str):
        return not value or (len(value) <= _LONGEST_NOTHING and says_nothing(as_read(value)))
    return value in _NOTHING


def _lines(value: JsonValue, *, structured: bool) -> list[str]:
    if structured:
        value = _parsed(value)
    match value:
        case str():
            return [as_read(value)]
        case list() if any(isinstance(item, list | dict) for item in map(_parsed, value[:ITEMS])):
            items = [f"- {item}" for item in map(_item, value[:ITEMS]) if item]
            return ["", *items, *_left_out(len(value) - ITEMS)]
        case dict():
            items = [f"- {key}: {_cut(item, ITEM_CHARACTERS)}" for key, item in _pairs(value, 0, ITEMS)]
            return ["", *items, *_left_out(len(value) - ITEMS)]
        case _:
            return [_inline(value, 0, ITEMS)]


def _parsed(value: JsonValue) -> JsonValue:
    """Parse JSON that is stored as text, be it encoded once or twice."""
    text = value
    while isinstance(text, str) and len(text) <= _LONGEST_JSON and text.lstrip().startswith(_JSON_BEGINS):
        try:
            text = json.loads(text)
        except (ValueError, RecursionError):
            return value
    return text


def _item(value: JsonValue) -> str:
    return _cut(_inline(value, 1, NESTED_ITEMS), ITEM_CHARACTERS)


def _inline(value: JsonValue, depth: int, most: int) -> str:  # noqa: PLR0911 - a table, one kind of value a case
    if _is_nothing(value):
        return ""
    match _parsed(value):
        case str() as text:
            return " ".join(as_read(text).split())
        case bool() as fact:
            return "yes" if fact else "no"
        case list() | dict() if depth > DEEPEST:
            return "[cut here: nested too deep]"
        case list() as items:
            parts = [part for item in items[:most] if (part := _inline(item, depth + 1, NESTED_ITEMS))]
            return ", ".join([*parts, *_left_out(len(items) - most)])
        case dict() as pairs:
            parts = [f"{key}: {item}" for key, item in _pairs(pairs, depth, most)]
            return "; ".join([*parts, *_left_out(len(pairs) - most)])
        case number:
            return json.dumps(number)


def _pairs(pairs: dict[str, JsonValue], depth: int, most: int) -> list[tuple[str, str]]:
    inlined = ((key, _inline(value, depth + 1, NESTED_ITEMS)) for key, value in list(pairs.items())[:most])
    return [(_cut(" ".join(as_read(key).split()), KEY_CHARACTERS), text) for key, text in inlined if text]


def _left_out(count: int) -> list[str]:
    return [f"[cut here: {count} more]"] if count > 0 else []


def _cut(text: str, limit: int, unseen: int = 0) -> str:
    more = len(text) - limit
    if more <= 0 and unseen == 0:
        return text
    return f"{text[:limit]} [cut here: {max(more, 0) + unseen} more characters]"
