"""The tables of settings and of log events in the documents, as the code has them.

Run it to renew the list of events: `python -m tests.support.doc_tables`.
"""

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from leadhook.observability.events import Event
from leadhook.settings import Settings
from leadhook.web.openapi import field_docstrings

EVENTS_PAGE: Final = Path(__file__).parents[2] / "docs" / "logs.md"


class SettingRow(NamedTuple):
    name: str
    default: str
    meaning: str


def _shown(default: Any) -> str:
    return "" if default in (None, ()) or not isinstance(default, str | int | float) else f"{default}"


SERVICE_SETTINGS: Final = tuple(
    SettingRow(name.upper(), _shown(field.get_default()), field_docstrings(Settings).get(name, "").replace("\n", " "))
    for name, field in Settings.model_fields.items()
)
COMMAND_SETTINGS: Final = (
    SettingRow(
        "GEMINI_API_KEY", "", "For the local stack: a Gemini key. With it the real Gemini answers, which costs money."
    ),
    SettingRow(
        "GEMINI_STANDIN_LATENCY_MS",
        "0",
        "For the local stack: latency of the Gemini stand-in in milliseconds, e.g. `300-900`.",
    ),
    SettingRow("LEADHOOK_STACK_DIR", "", "For the local stack: directory for its programs, instead of beside Python."),
)
"""Settings that only commands read, never the service."""
SETTINGS: Final = (*SERVICE_SETTINGS, *COMMAND_SETTINGS)


def with_events(page: str) -> str:
    """Return the page with a new list of events between its two marks."""
    rows = "".join(f"| `{event}` | {event.meaning} |\n" for event in Event)
    table = f"<!-- events -->\n| event | meaning |\n|---|---|\n{rows}<!-- /events -->"
    return re.sub(r"<!-- events -->.*<!-- /events -->", lambda _: table, page, flags=re.DOTALL)


if __name__ == "__main__":
    EVENTS_PAGE.write_text(with_events(EVENTS_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
