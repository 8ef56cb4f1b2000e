"""Calls a function of the database: parameters become JSON, and the reply one of the domain's types."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from leadhook.domain.failure import StoreError
from leadhook.store.columns import cleaned
from leadhook.store.errors import not_supabase

if TYPE_CHECKING:
    from leadhook.store.transport import Transport

Reply = TypeVar("Reply", bound=BaseModel)
Answer = TypeVar("Answer")

LOCK_NOT_AVAILABLE: Final = "55P03"
PATIENCE_S: Final = 60.0
PAUSE_S: Final = 0.5


class Calls:
    """A part of the store. If a method fails, it raises `StoreError` and no other exception."""

    def __init__(self, transport: "Transport") -> None:
        self._transport = transport

    async def _ask(self, function: str, shape: type[Reply], parameters: Mapping[str, Any]) -> Reply:
        reply = await self._call(function, parameters)
        try:
            return shape.model_validate(reply)
        except ValidationError as error:
            raise not_understood(function, error) from None

    async def _call(self, function: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        try:
            reply = await self._transport.call(function, cleaned(to_jsonable_python(parameters)))
        except (ValueError, RecursionError, MemoryError) as error:
            # A reply that no parser accepts must not end the process.
            raise not_understood(function, error) from None
        if not isinstance(reply, dict):
            raise not_supabase()
        return reply


async def when_free(call: Callable[[], Awaitable[Answer]], patience_s: float = PATIENCE_S) -> Answer:
    """Repeat a call that changed nothing because another transaction holds a lock, for this time at most."""
    give_up_at = anyio.current_time() + patience_s
    while True:
        try:
            return await call()
        except StoreError as error:
            if error.code != LOCK_NOT_AVAILABLE or anyio.current_time() >= give_up_at:
                raise
        await anyio.sleep(PAUSE_S)


def not_understood(function: str, error: Exception) -> StoreError:
    """Build the error. Raise it `from None`: a validation error quotes its input, such as a key or a lead."""
    where = ""
    if isinstance(error, ValidationError):
        where = f" ({', '.join('.'.join(map(str, item['loc'])) for item in error.errors()[:3])})"
    reason = f"the reply of public.{function} is not understood{where}: run `leadhook migrate`"
    return StoreError("misconfigured", "reply_not_understood", reason)
