"""Is this webhook from our database? By its Standard Webhooks signature, or by the static header.

The headers are whatever the sender put on the wire, so everything here works on bytes and raises nothing but `Refused`.
Whether a signature fits is decided for all secrets and all signatures before anything is said of it.
"""

import base64
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from leadhook.credentials import StaticHeader

TOLERANCE_S: Final = 300
"""A webhook of this age is an ordinary one: the limit of every Standard Webhooks library."""
HINT_S: Final = 24 * 3600
"""Up to this age a signed webhook is believed to have waited in pg_net's queue; beyond, it is refused."""
LONGEST_ID: Final = 256
LONGEST_SIGNATURES: Final = 2048
LONGEST_TIMESTAMP: Final = 12
"""Digits; enough for 30,000 years."""

Headers = Iterable[tuple[bytes, bytes]]
"""As ASGI hands them over: names in lower case, repeated where they were repeated."""


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """The sender did not prove itself.

    Attributes:
        reason: `snake_case`, for the log alone; from outside all refusals look the same.
        skew_s: how far the sender's clock is off, where the signature fits.
    """

    def __init__(self, reason: str, skew_s: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.skew_s = skew_s


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


def verify(headers: Headers, body: bytes, *, keys: Sequence[bytes], now_s: int) -> int:
    """Check the signature; the caller decides how old is too old.

    Returns:
        The age of the timestamp in seconds, negative when it lies ahead.

    Raises:
        Refused: no key made any of the signatures, or a header is not as it must be.
    """
    if not keys:
        raise Refused("no_secret_set")
    headers = list(headers)
    message_id = only(headers, b"webhook-id")
    timestamp = only(headers, b"webhook-timestamp")
    signatures = only(headers, b"webhook-signature")
    if not 1 <= len(message_id) <= LONGEST_ID or b"." in message_id:
        raise Refused("bad_id")
    if len(timestamp) > LONGEST_TIMESTAMP or not timestamp.isdigit():
        raise Refused("bad_timestamp")
    if len(signatures) > LONGEST_SIGNATURES:
        raise Refused("signatures_too_long")
    if not _signed(b".".join((message_id, timestamp, body)), signatures, keys):
        raise Refused("no_signature_fits")
    return now_s - int(timestamp)


def _signed(content: bytes, signatures: bytes, keys: Sequence[bytes]) -> bool:
    given = [entry for entry in signatures.split(b" ") if entry.startswith(b"v1,")]
    expected = [b"v1," + base64.b64encode(hmac.digest(key, content, sha256)) for key in keys]
    # A list, so that none is skipped once another one fits.
    return any([hmac.compare_digest(ours, theirs) for ours in expected for theirs in given])  # noqa: C419 - every one is compared, so that its time reveals nothing


def only(headers: Headers, name: bytes) -> bytes:
    """Return the value of a header that must be there exactly once.

    Raises:
        Refused: it is missing or repeated.
    """
    values = [value for given, value in headers if given == name]
    if not values:
        raise Refused(f"missing_{name.decode().replace('-', '_')}")
    if len(values) > 1:
        raise Refused(f"repeated_{name.decode().replace('-', '_')}")
    return values[0]
