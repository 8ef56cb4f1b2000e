"""`leadhook explain`: where a lead stands, asked of the database itself, so that it works while the service is down."""

import json
import sys

from leadhook.domain.explanation import explain as put_into_words
from leadhook.settings import Settings
from leadhook.terminal.asking import ask
from leadhook.terminal.page import open_console, show


def explain(settings: Settings, lead_id: str, *, as_json: bool) -> int:
    """Ask and print; the exit code: 1 for a lead that nobody has."""
    found = put_into_words(ask(settings, lambda store: store.explain(lead_id)))
    if as_json:
        sys.stdout.write(f"{json.dumps(found.model_dump(mode='json'), indent=2)}\n")
    else:
        show(found, open_console())
    return 1 if found.state == "unknown" else 0
