"""Calls the project's API for operator commands, with SUPABASE_URL and its key, as the service does."""

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from leadhook.command_error import CommandError
from leadhook.settings import Settings, SettingsError, load_settings
from leadhook.store import StoreError, SupabaseStore, open_store

Answer = TypeVar("Answer")

TIMEOUT_S: Final = 40.0
"""Longer than the slowest function for operators may take."""


def ask(question: Callable[[SupabaseStore], Awaitable[Answer]], settings: Settings | None = None) -> Answer:
    """Open the store of these settings, by default the environment's; ask, and close it.

    Raises:
        SettingsError: SUPABASE_URL or the key is wrong.
        CommandError: the database refused or could not be asked.
    """
    settings = settings or load_settings()

    async def asked() -> Answer:
        key = settings.supabase_key.get_secret_value()
        async with open_store(settings.supabase_url, key, timeout_s=TIMEOUT_S) as store:
            return await question(store)

    try:
        return asyncio.run(asked())
    except StoreError as error:
        from leadhook import advice  # with the log's libraries

        # Where the key is refused, the key itself says more.
        problem = advice.key_problem(settings) if error.kind == "misconfigured" else None
        if problem or error.wrong_settings:
            raise SettingsError(problem or error.reason) from None
        raise CommandError(error.reason, exit_code=2 if error.kind == "caller_bug" else 1) from None


def actor() -> str:
    """Return who is recorded in the audit: `cli:` and the name of the account on this machine."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli:unknown"
