"""Cleans texts for Postgres, and reads the application's JSON columns, which may contain anything.

The database sends the columns as text, so that their JSON is not part of the reply's own JSON, and limits apply before
a parser sees them.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

DEEPEST: Final = 100
"""Maximum depth of brackets. Profiles of people have five levels."""
MOST_DIGITS: Final = 1000
"""Maximum number of digits: a float needs 309, and Python refuses to read more than 4,300."""

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?')
_LONG_NUMBER: Final = re.compile(rf"\d{{{MOST_DIGITS + 1}}}")
_BRACKET: Final = re.compile(r"[\[\]{}]")


class UnreadableColumnError(ValueError):
    """A column of a lead can't be read.

    Attributes:
        reason: names the column and the remedy, without quoting the column.
    """

    def __init__(self, column: str, what: str) -> None:
        self.reason: Final = f"lead_details.{column} can't be read: {what}; correct the row, then run `leadhook replay`"
        super().__init__(self.reason)


def read_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a lead, with the value of each column that arrived as `{"json": text}`.

    Raises:
        UnreadableColumnError: a value is nested too deeply, contains a number that is too long, or is not JSON.
    """
    return {name: _read(name, value) for name, value in fields.items()}


def _read(column: str, value: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(text := value.get("json"), str):
        return value
    bare = _STRING.sub("", text)
    if _LONG_NUMBER.search(bare):
        raise UnreadableColumnError(column, f"it holds a number of more than {MOST_DIGITS} digits")
    if _depth(bare) > DEEPEST:
        raise UnreadableColumnError(column, f"its JSON is nested more than {DEEPEST} levels deep")
    try:
        return cleaned(json.loads(text))
    except ValueError:
        # It was truncated because it is longer than what the model may see, so the rest is treated as text.
        return text


def _depth(bare: str) -> int:
    if bare.count("[") + bare.count("{") <= DEEPEST:
        return 0
    depth = deepest = 0
    for found in _BRACKET.finditer(bare):
        depth += 1 if found[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def cleaned(value: Any) -> Any:
    """Return the JSON value without NULs and with U+FFFD for each lone surrogate, at any depth."""
    match value:
        case str():
            return _UNSTORABLE.sub(lambda found: "" if found[0] == "\x00" else "\ufffd", value)
        case Mapping():
            return {cleaned(name): cleaned(item) for name, item in value.items()}
        case list() | tuple():
            return [cleaned(item) for item in value]
        case _:
            return value
