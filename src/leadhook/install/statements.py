"""Takes an SQL text apart into its statements, for the few files that can't run in one transaction."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*.*?\*/ )
  | (?P<quoted> [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag) )
  | (?P<end> ; )
  | (?P<space> \s+ )
  | (?P<other> \w+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)


def split(sql: str) -> Iterator[str]:
    """The statements of a text, without their semicolons and without comments outside of them."""
    start: int | None = None
    for token in _TOKEN.finditer(sql):
        if token["end"]:
            if start is not None:
                yield sql[start : token.start()].rstrip()
            start = None
        elif start is None and not token["comment"] and not token["space"]:
            start = token.start()
    if start is not None:
        yield sql[start:].rstrip()
