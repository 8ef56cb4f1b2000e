"""Calls the project's functions with supabase-py, over aiohttp; refusals keep their HTTP status."""

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import aiohttp
import anyio
import httpx
from httpx_aiohttp import HttpxAiohttpClient
from postgrest import APIError

from leadhook import network
from leadhook.domain.failure import StoreError
from leadhook.store.errors import explain, not_supabase


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Let imports do without an optional package, unless it is loaded already."""
    modules: dict[str, Any] = sys.modules
    loaded = modules.setdefault(package, None)  # None: it can't be imported
    try:
        yield
    finally:
        if loaded is None:
            del modules[package]


# supabase's client for users' sign-ins, of which there are none here, would import 12 MB of it.
with _without("cryptography"):
    from supabase import AsyncClient, AsyncClientOptions, acreate_client

_HOST_UNKNOWN: Final = (
    "the host of SUPABASE_URL is not found in DNS: check the address and this machine's DNS; a Supabase project that "
    "is paused loses its name until it is restored in the dashboard, and leads wait until then"
)
_LIMITS: Final = httpx.Limits(max_connections=20, max_keepalive_connections=20, keepalive_expiry=20.0)


class Transport:
    def __init__(self, client: AsyncClient, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def call(self, function: str, parameters: Mapping[str, Any]) -> Any:
        """Call a function in the schema `public`, and return its reply.

        Raises:
            StoreError: it was refused, or not answered in time.
            ValueError: the reply is not JSON.
        """
        with transport_errors(function, self._timeout_s):
            try:
                response = await self._client.rpc(function, dict(parameters)).execute()
            except APIError as error:
                # Refusals were raised before postgrest saw them.
                raise ValueError("the reply is not JSON") from error
        return response.data


@asynccontextmanager
async def open_transport(url: str, key: str, timeout_s: float) -> AsyncIterator[Transport]:
    """Open the connections to the project at this address. Arguments as for `open_store`."""
    async with HttpxAiohttpClient(
        timeout=timeout_s,
        limits=_LIMITS,
        event_hooks={"response": [_raise_refusal]},
        proxy=network.proxy_for(url),
        verify=network.trust(),
        trust_env=False,
    ) as client:
        options = AsyncClientOptions(httpx_client=client, auto_refresh_token=False, persist_session=False)
        yield Transport(await acreate_client(url, key, options), timeout_s)


async def _raise_refusal(response: httpx.Response) -> None:
    # postgrest's APIError has no HTTP status, and the gateway's refusals have no code, so both are read here together.
    if not response.is_success:
        # Not `response.text`, which fails where the sender names an odd charset.
        body = (await response.aread()).decode("utf-8-sig", errors="replace")
        raise explain(response.request.url.path.rpartition("/")[2], response.status_code, body)


@contextmanager
def transport_errors(function: str, timeout_s: float) -> Iterator[None]:
    """Convert all exceptions of a transport, and a call that takes too long, to `StoreError`."""
    try:
        # sock_read, the only read timeout that httpx-aiohttp sets, starts again with every byte.
        with anyio.fail_after(timeout_s):
            yield
    except (TimeoutError, httpx.HTTPError, aiohttp.ClientError, OSError) as error:
        raise _explain_silence(function, error) from error


def _explain_silence(function: str, error: Exception) -> StoreError:
    # httpx-aiohttp raises ConnectTimeout for most broken connections: only the cause shows the reason.
    cause = error.__cause__ or error
    if isinstance(error, httpx.DecodingError):
        return not_supabase()
    if network.no_files_left(error):
        return StoreError("unavailable", "files_exhausted", network.NO_FILES_LEFT)
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return StoreError("unavailable", "host_unknown", _HOST_UNKNOWN)
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return StoreError("unavailable", "timeout", f"public.{function} did not answer in time")
    if isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | ConnectionResetError):
        return StoreError("unavailable", "disconnected", f"the connection broke during public.{function}")
    reason = (
        f"no connection to SUPABASE_URL ({network.why_unreachable(cause)}): check the address, this machine's network, "
        "and its proxy if there is one"
    )
    return StoreError("unavailable", "unreachable", reason)
