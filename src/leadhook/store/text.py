"""Converts text to what Postgres can store; model answers and webhook bodies may contain anything."""

import re
from collections.abc import Mapping
from typing import Any, Final

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def cleaned(value: Any) -> Any:
    """Return the JSON value without NULs and with U+FFFD for each lone surrogate, at any depth."""
    match value:
        case str():
            return _UNSTORABLE.sub(_replacement, value) if _UNSTORABLE.search(value) else value
        case Mapping():
            return {cleaned(name): cleaned(item) for name, item in value.items()}
        case list() | tuple():
            return [cleaned(item) for item in value]
        case _:
            return value


def _replacement(found: re.Match[str]) -> str:
    return "" if found[0] == "\x00" else "\ufffd"
