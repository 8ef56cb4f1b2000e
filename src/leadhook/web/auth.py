"""Who may do what: webhooks prove themselves by signature or static header, admins by a bearer token."""

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from pydantic import SecretStr

from leadhook.credentials import StaticHeader
from leadhook.web.problems import Problem
from leadhook.web.signature import Headers, Refused, only, verify

TOLERANCE_S: Final = 300
"""A webhook of this age is an ordinary one: the limit of every Standard Webhooks library."""
HINT_S: Final = 24 * 3600
"""Up to here a signed webhook is believed to have waited in pg_net's queue; beyond, it is refused."""

UNAUTHENTICATED: Final = (
    "Send the header `Authorization: Bearer <one of ADMIN_TOKENS>`; a page in a browser also needs its origin in "
    "CORS_ORIGINS."
)
CLOSED: Final = "Admin requests are closed: set ADMIN_TOKENS to one or more tokens of 16 characters or more."
UNPROVEN: Final = "Webhook signature missing or invalid."


@dataclass(frozen=True, slots=True)
class Proof:
    """How a webhook proved itself."""

    by: Literal["signature", "static_header"]
    age_s: int = 0

    @property
    def punctual(self) -> bool:
        """Whether it is as young as a webhook should be."""
        return abs(self.age_s) <= TOLERANCE_S


class WebhookAuth:
    """Decides whether a webhook is from our database."""

    def __init__(self, keys: Sequence[bytes], static_header: StaticHeader | None = None) -> None:
        self._keys = tuple(keys)
        self._name = static_header.name.encode() if static_header else None
        self._digest = sha256(static_header.value.get_secret_value().encode() if static_header else b"").digest()

    def proven_by_header(self, headers: Headers) -> bool:
        """Whether the static header proves it already, before the body is read."""
        headers = list(headers)
        if self._name is None or _is_signed(headers):
            return False
        try:
            self.prove(headers, b"", now_s=0)
        except Refused:
            return False
        return True

    def prove(self, headers: Headers, body: bytes, *, now_s: int) -> Proof:
        """Find the proof; a request that is signed at all must be signed well.

        Raises:
            Refused: there is none.
        """
        headers = list(headers)
        if self._name is None or _is_signed(headers):
            age_s = verify(headers, body, keys=self._keys, now_s=now_s)
            if abs(age_s) > HINT_S:
                raise Refused("timestamp_far_off", age_s)
            return Proof("signature", age_s)
        if not hmac.compare_digest(self._digest, sha256(only(headers, self._name)).digest()):
            raise Refused("wrong_static_header")
        return Proof("static_header")


def _is_signed(headers: Headers) -> bool:
    return any(name == b"webhook-signature" for name, _ in headers)


class Admins:
    """The holders of ADMIN_TOKENS."""

    def __init__(self, tokens: Iterable[SecretStr]) -> None:
        self._digests = [sha256(token.get_secret_value().encode()).digest() for token in tokens]

    def authenticate(self, headers: Headers) -> str:
        """Let an admin in.

        Returns:
            `admin:` and the beginning of the token's SHA-256, to tell several apart in the audit.

        Raises:
            Problem: 403 while no token is set, 401 for a missing or wrong one.
        """
        if not self._digests:
            raise Problem(403, CLOSED)
        values = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
        digest = sha256(token.strip()).digest()
        # A list, so that none is skipped once another one fits.
        fits = any([hmac.compare_digest(digest, known) for known in self._digests])  # noqa: C419 - every one is compared, so that time tells nothing
        if fits and scheme.lower() == b"bearer":
            return f"admin:{digest.hex()[:8]}"
        raise Problem(401, UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
