"""One question to the database over the project's API, for a person who waits at a terminal."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from leadhook import advice
from leadhook.settings import Settings, SettingsError
from leadhook.store import Store, StoreError, open_store
from leadhook.terminal.failure import TerminalError

Answer = TypeVar("Answer")


def ask(settings: Settings, question: Callable[[Store], Awaitable[Answer]]) -> Answer:
    """Open the store, ask, close it.

    Raises:
        SettingsError: SUPABASE_URL or the key is wrong.
        TerminalError: it was refused or could not be asked; in words.
    """

    async def asked() -> Answer:
        async with open_store(settings.supabase_url, settings.supabase_key.get_secret_value()) as store:
            return await question(store)

    try:
        return asyncio.run(asked())
    except StoreError as error:
        # Refused for the key's sake, the key's own words say more.
        problem = advice.key_problem(settings) if error.kind == "misconfigured" else None
        if problem or error.wrong_settings:
            raise SettingsError(problem or error.reason) from None
        raise TerminalError(error.reason) from None
