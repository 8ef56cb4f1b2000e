"""Slows down whoever tries admin tokens.

A right token is let in at any time, whatever came before it from the same address: behind a proxy all clients share
one, and nobody may lock the admins out. So what keeps guesses from succeeding is the length of the tokens; this keeps
them from being cheap, and names the cause to whoever has mistyped.
"""

import ipaddress
from collections import OrderedDict
from typing import Final

import anyio

from leadhook.web.problems import Problem
from leadhook.web.rate import TokenBucket

MOST_ADDRESSES: Final = 1000
MOST_HELD: Final = 50
"""Answers that are held back at once; further ones go out without delay."""
RETRY_AFTER_S: Final = 5
TOO_MANY: Final = "Too many requests came with a wrong admin token; a right one is let in at any time."


class SignIns:
    """Counts the wrong ones in bounded memory: of an address 5 and then one each 5 s, of all 50 and then 5 a second."""

    def __init__(self, *, hold_s: float = 1.0) -> None:
        self._hold_s = hold_s
        self._held = 0
        self._total = TokenBucket(per_second=5, burst=50)
        self._by_address: OrderedDict[str, TokenBucket] = OrderedDict()

    async def failed(self, address: str) -> None:
        """Hear of a wrong token.

        Raises:
            Problem: 429 and only after a while, where there were too many.
        """
        # Both are asked: the one must not shield the other.
        allowed = [self._bucket(_neighbourhood(address)).take(), self._total.take()]
        if all(allowed):
            return
        if self._held < MOST_HELD:
            self._held += 1
            try:
                await anyio.sleep(self._hold_s)
            finally:
                self._held -= 1
        raise Problem(429, TOO_MANY, headers={"Retry-After": f"{RETRY_AFTER_S}"})

    def _bucket(self, address: str) -> TokenBucket:
        bucket = self._by_address.pop(address, None) or TokenBucket(per_second=1 / RETRY_AFTER_S, burst=5)
        self._by_address[address] = bucket
        if len(self._by_address) > MOST_ADDRESSES:
            self._by_address.popitem(last=False)
        return bucket


def _neighbourhood(address: str) -> str:
    """One IPv6 client has all 2^64 addresses of its network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address  # noqa: PLR2004 - the version of IP
