"""`leadhook explain`: where a lead stands, asked of the database itself, so that it works while the service is down."""

import asyncio
import json
import os
import sys
from typing import Final

from rich.console import Console

from leadhook import advice
from leadhook.domain.dossier import Dossier
from leadhook.domain.explanation import Explanation
from leadhook.domain.explanation import explain as put_into_words
from leadhook.settings import Settings
from leadhook.store import StoreError, open_store
from leadhook.terminal.failure import TerminalError
from leadhook.terminal.page import show

_PLAIN_WIDTH: Final = 150


def explain(settings: Settings, lead_id: str, *, as_json: bool) -> int:
    """Ask and print; the exit code: 1 for a lead that nobody has."""
    try:
        dossier = asyncio.run(_ask(settings, lead_id))
    except StoreError as error:
        # Refused for the key's sake, the key's own words say more.
        problem = advice.key_problem(settings) if error.kind == "misconfigured" else None
        raise TerminalError(f"{problem or error.reason}") from None
    found = put_into_words(dossier)
    if as_json:
        sys.stdout.write(f"{json.dumps(found.model_dump(mode='json'), indent=2)}\n")
    else:
        _print(found)
    return 1 if found.state == "unknown" else 0


async def _ask(settings: Settings, lead_id: str) -> Dossier:
    async with open_store(settings.supabase_url, settings.supabase_key.get_secret_value()) as store:
        return await store.explain(lead_id)


def _print(found: Explanation) -> None:
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, markup=False, emoji=False, width=_PLAIN_WIDTH)
    show(found, console)
