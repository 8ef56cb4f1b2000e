"""The HTTP client under supabase-py: aiohttp, deadlines, and refusals that keep their status."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import aiohttp
import anyio
import httpx
from httpx_aiohttp import HttpxAiohttpClient

from leadhook import network
from leadhook.domain.failure import StoreError
from leadhook.store.errors import explain

TIMEOUT_S: Final = 10.0
"""Longer than any statement timeout of ours, so that the database's own word arrives first."""

_LIMITS: Final = httpx.Limits(max_connections=20, max_keepalive_connections=20, keepalive_expiry=20.0)


@asynccontextmanager
async def open_transport(url: str, timeout_s: float = TIMEOUT_S) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client for this address whose refusals are raised as `StoreError`."""
    async with HttpxAiohttpClient(
        timeout=timeout_s,
        limits=_LIMITS,
        event_hooks={"response": [_raise_refusal]},
        proxy=network.proxy_for(url),
        verify=network.trust(),
        trust_env=False,
    ) as transport:
        yield transport


async def _raise_refusal(response: httpx.Response) -> None:
    # postgrest's APIError has no HTTP status, and the gateway's refusals have no code: both must be seen together.
    if not response.is_success:
        await response.aread()
        raise explain(response.request.url.path.rpartition("/")[2], response.status_code, response.text)


@contextmanager
def transport_errors(function: str, timeout_s: float) -> Iterator[None]:
    """Turn whatever a transport raises, and a call that lasts too long, into `StoreError`."""
    try:
        # sock_read, the only read timeout that httpx-aiohttp sets, begins anew with every byte.
        with anyio.fail_after(timeout_s):
            yield
    except (TimeoutError, httpx.TransportError, aiohttp.ClientError, OSError) as error:
        raise _explain_silence(function, error) from error


def _explain_silence(function: str, error: Exception) -> StoreError:
    # httpx-aiohttp calls most broken connections a ConnectTimeout: only the cause tells.
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return StoreError("unavailable", "timeout", f"public.{function} did not answer in time")
    if isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | ConnectionResetError):
        return StoreError("unavailable", "disconnected", f"the connection broke during public.{function}")
    return StoreError("unavailable", "unreachable", f"no connection to SUPABASE_URL ({type(cause).__name__})")
