"""Authenticates admins by their token. After too many wrong tokens, refusals are delayed."""

import hmac
import ipaddress
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import anyio
from pydantic import SecretStr
from starlette.requests import Request

from leadhook.web.requests import Problem
from leadhook.web.webhook_auth import Headers

UNAUTHENTICATED: Final = (
    "Send the header `Authorization: Bearer <one of ADMIN_TOKENS>`; a page in a browser also needs its origin in "
    "CORS_ORIGINS."
)
CLOSED: Final = "Admin requests are disabled: set ADMIN_TOKENS to one or more tokens of 16 characters or more."
TOO_MANY: Final = "Too many requests with a wrong admin token. A valid token is always accepted."

MOST_NETWORKS: Final = 1000
MOST_HELD: Final = 50
"""Maximum number of delayed answers at a time; further ones are sent immediately."""
RETRY_AFTER_S: Final = 5


class TokenBucket:
    """Allows `burst` at once and `per_second` in the long run."""

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._seen = time.monotonic()

    def take(self) -> bool:
        """Take a token; False if none is left."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._per_second)
        self._seen = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class Admin:
    """The holder of a token; one of ADMIN_READONLY_TOKENS may use the console, and change nothing."""

    token: SecretStr
    may_act: bool

    @property
    def digest(self) -> bytes:
        return sha256(self.token.get_secret_value().encode()).digest()

    @property
    def actor(self) -> str:
        """`admin:` and the beginning of the token's SHA-256, which identifies the admin in the audit."""
        return f"{'admin' if self.may_act else 'readonly'}:{self.digest.hex()[:8]}"


class Admins:
    """The holders of ADMIN_TOKENS and ADMIN_READONLY_TOKENS.

    A right token is always accepted, whatever came before it from the same address: behind a proxy, all clients share
    one, and no one must be able to lock the admins out. Guessing is hopeless because of the tokens' length, and slow
    because of the delay. The delayed answer explains the cause to anyone who mistyped a token.
    """

    def __init__(self, tokens: Iterable[SecretStr], readonly: Iterable[SecretStr] = (), *, hold_s: float = 1.0) -> None:
        acting = [Admin(token, may_act=True) for token in tokens]
        self.every = (*acting, *(Admin(token, may_act=False) for token in readonly))
        self.open = bool(acting)
        """Whether ADMIN_TOKENS is set."""
        self._digests = [admin.digest for admin in self.every]
        self._hold_s = hold_s
        self._held = 0
        self._wrong_of_all = TokenBucket(per_second=5, burst=50)
        self._wrong_of_network = lru_cache(MOST_NETWORKS)(
            lambda _network: TokenBucket(per_second=1 / RETRY_AFTER_S, burst=5)
        )

    async def authenticate(self, headers: Headers, address: str) -> str:
        """Check the bearer token of a request to the API, and return the actor.

        Raises:
            Problem: 403 if ADMIN_TOKENS is not set, 401 for a missing or wrong token, 429 after too many of them.
        """
        if not self.open:
            raise Problem(403, CLOSED)
        values = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
        admin = self.find(token)
        if admin is not None and admin.may_act and scheme.lower() == b"bearer":
            return admin.actor
        await self.slow_down(address)
        raise Problem(401, UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})

    def find(self, token: bytes) -> Admin | None:
        digest = sha256(token.strip()).digest()
        # A list, so that none is skipped after a match.
        fits = [hmac.compare_digest(digest, known) for known in self._digests]
        return next((admin for admin, fit in zip(self.every, fits, strict=True) if fit), None)

    async def slow_down(self, address: str) -> None:
        """Count a wrong token. Allow 5 per network and then one per 5 s; 50 in total and then 5 per second.

        Raises:
            Problem: 429, after a delay, if there are more.
        """
        # Both count every wrong token.
        allowed = [self._wrong_of_network(_network(address)).take(), self._wrong_of_all.take()]
        if all(allowed):
            return
        if self._held < MOST_HELD:
            self._held += 1
            try:
                await anyio.sleep(self._hold_s)
            finally:
                self._held -= 1
        raise Problem(429, TOO_MANY, headers={"Retry-After": f"{RETRY_AFTER_S}"})


def _network(address: str) -> str:
    """Return the network of an address, because one IPv6 client has 2^64 addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address  # noqa: PLR2004 - the version of IP


async def require_admin(request: Request[Any]) -> str:
    """Let only an admin pass, and return the actor, as `Admins.authenticate` does."""
    admins: Admins = request.state["admins"]
    return await admins.authenticate(request.scope["headers"], request.client.host if request.client else "")
