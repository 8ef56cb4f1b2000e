"""Renders the console's templates. Every value is escaped, and what would reverse or hide text is made visible."""

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from leadhook import __version__
from leadhook.domain.findings import describe_budget
from leadhook.domain.phrases import count, distance, duration_words
from leadhook.domain.spend import dollars

_HIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that change the direction of the text around them."""


def url(path: str, pairs: Iterable[tuple[str, Any]] = (), **query: Any) -> str:
    """Return a path with a query; parameters that are None are left out."""
    given = [(name, value) for name, value in (*pairs, *query.items()) if value is not None]
    return f"{path}?{urlencode(given, errors='replace')}" if given else path


def _visible(value: Any) -> Any:
    """Treat every value that a template shows; Markup is what the template itself has escaped."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _HIDDEN.sub(lambda sign: f"\\u{ord(sign[0]):04x}", value)
    return "" if value is None else value


def _time(moment: datetime | None, now: datetime) -> Markup:
    """`3 minutes ago`, with the exact time for machines and on hover."""
    if moment is None:
        return Markup("never")
    exact = f"{moment:%Y-%m-%d %H:%M:%S %Z}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.isoformat(), exact, distance(moment, now))


def _commands(words: str | None) -> Markup:
    """Show what a sentence has between backquotes as code."""
    parts = [escape(_visible(part)) for part in (words or "").split("`")]
    return Markup().join(Markup("<code>{}</code>").format(part) if odd % 2 else part for odd, part in enumerate(parts))


ENVIRONMENT: Final = Environment(
    autoescape=True,
    finalize=_visible,
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    lstrip_blocks=True,
    trim_blocks=True,
    undefined=StrictUndefined,
)
ENVIRONMENT.filters |= {
    "dollars": dollars,
    "number": "{:,}".format,
    "count": count,
    "duration": duration_words,
    "budget": describe_budget,
    "commands": _commands,
}
ENVIRONMENT.globals |= {"url": url, "time": _time, "version": __version__}
ENVIRONMENT.globals["parts"] = ENVIRONMENT.get_template("parts.html").module


def render(template: str, **values: Any) -> str:
    return ENVIRONMENT.get_template(template).render(values)
