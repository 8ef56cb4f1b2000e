"""A running service as the command line sees it: SERVICE_URL, and ADMIN_TOKEN to be let in."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx

from leadhook import network
from leadhook.credentials import split_words
from leadhook.remote.failure import AskedWrongError, RemoteError

HERE: Final = "http://127.0.0.1:8000"
_ASKED_WRONG: Final = (401, 403, 422)
PATIENCE_S: Final = 40.0
"""Longer than a dry run may take."""


class Service:
    """Asks, and turns refusals into words."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer's JSON object.

        Raises:
            AskedWrongError: ADMIN_TOKEN is not one of the service's, or it refuses what it was given.
            RemoteError: there is none.
        """
        try:
            response = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            address = self._client.base_url
            raise RemoteError(
                f"no service answers at SERVICE_URL, {address} ({type(error).__name__}): start it with "
                "`leadhook serve`, or set SERVICE_URL to where it runs"
            ) from None
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or (not response.is_success and "detail" not in answer):
            raise RemoteError(
                f"what answers at SERVICE_URL, {self._client.base_url}, is not leadhook (HTTP {response.status_code}): "
                "set SERVICE_URL to where the service runs"
            )
        if response.status_code in _ASKED_WRONG:
            raise AskedWrongError(_words(response.status_code, answer))
        if not response.is_success:
            raise RemoteError(_words(response.status_code, answer))
        return answer


@contextmanager
def open_service(environment: Mapping[str, str] = os.environ) -> Iterator[Service]:
    """The service that the environment names.

    Raises:
        AskedWrongError: no token is set, or it is none.
    """
    url = environment.get("SERVICE_URL", "").strip() or HERE
    tokens = split_words(environment.get("ADMIN_TOKEN", "") or environment.get("ADMIN_TOKENS", ""))
    if not tokens:
        raise AskedWrongError("ADMIN_TOKEN is not set: give one of the service's ADMIN_TOKENS")
    for name, reason in network.problems(environment):
        raise AskedWrongError(f"{name}: {reason}")
    if not re.match(r"https?://[^/]", url, re.IGNORECASE):
        raise AskedWrongError(f"SERVICE_URL is not an address like {HERE}")
    try:
        client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {tokens[0]}"},
            timeout=PATIENCE_S,
            proxy=network.proxy_for(url, environment),
            verify=network.trust(environment),
            trust_env=False,
        )
    except (httpx.InvalidURL, UnicodeEncodeError, ValueError):
        raise AskedWrongError(
            f"SERVICE_URL is not an address like {HERE}, or ADMIN_TOKEN has characters that no token has"
        ) from None
    with client:
        yield Service(client)


def _words(status: int, answer: Mapping[str, Any]) -> str:
    faults = [f"{fault.get('pointer', '')}: {fault.get('detail', '')}" for fault in answer.get("errors") or ()]
    return "\n  ".join([f"HTTP {status}: {answer.get('detail')}", *faults])
