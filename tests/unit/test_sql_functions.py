"""No SQL function is longer than a page."""

import re
from pathlib import Path
from typing import Final

FILES: Final = sorted((Path(__file__).parents[2] / "migrations/functions").glob("*.sql"))
MOST_LINES: Final = 90

_FUNCTION: Final = re.compile(
    r"^ *create (?:or replace )?function (?:leadhook|public)\.(?P<name>\w+)\(.*?^ *\$\$;",
    re.MULTILINE | re.DOTALL,
)


def test_no_function_is_longer_than_a_page() -> None:
    lengths = {
        found["name"]: found[0].count("\n") + 1 for file in FILES for found in _FUNCTION.finditer(file.read_text())
    }
    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
