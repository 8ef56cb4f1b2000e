"""Authenticates webhooks, by their Standard Webhooks signature or by the static header.

Headers may contain any bytes, so everything here works on bytes and raises only `Refused`. All signatures are compared
with all secrets before the result is used.
"""

import base64
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from leadhook.credentials import StaticHeader, receipt

TOLERANCE_S: Final = 300
"""Maximum age of an ordinary webhook: the limit of every Standard Webhooks library."""
HINT_S: Final = 24 * 3600
"""Up to this age, a signed webhook may have waited in pg_net's queue; an older one is refused."""
SIGNATURE: Final = b"webhook-signature"
LONGEST_ID: Final = 256
LONGEST_SIGNATURES: Final = 2048
LONGEST_TIMESTAMP: Final = 12
"""Digits; enough for 30,000 years."""

Headers = Sequence[tuple[bytes, bytes]]
"""Headers as in ASGI: names in lower case, repeated if the sender repeated them."""
Given = Mapping[bytes, bytes | None]
"""Headers by name; None for one that was repeated."""


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """The webhook is not authentic, for a reason that only the log has; `skew_s` is known if the signature is valid."""

    def __init__(self, reason: str, skew_s: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.skew_s = skew_s


@dataclass(frozen=True, slots=True)
class Proof:
    """How a webhook was authenticated."""

    by: Literal["signature", "static_header"]
    age_s: int = 0
    receipts: str = ""
    """One for each secret, so that the sender knows whom it reached."""

    @property
    def punctual(self) -> bool:
        """Whether it is not older than an ordinary webhook."""
        return abs(self.age_s) <= TOLERANCE_S


class WebhookAuth:
    """Decides whether a webhook is from our database."""

    def __init__(self, keys: Sequence[bytes], static_header: StaticHeader | None = None) -> None:
        self._keys = tuple(keys)
        self._name = static_header.name.encode() if static_header else None
        self._digest = sha256(static_header.value.get_secret_value().encode() if static_header else b"").digest()

    def proven_by_header(self, headers: Given) -> bool:
        """Whether the static header authenticates it, before the body is read."""
        if self._name is None or SIGNATURE in headers:
            return False
        try:
            self.prove(headers, b"", now_s=0)
        except Refused:
            return False
        return True

    def prove(self, headers: Given, body: bytes, *, now_s: int) -> Proof:
        """Authenticate a webhook. If it is signed, the signature must be valid.

        Raises:
            Refused: it is not authentic.
        """
        if self._name is None or SIGNATURE in headers:
            age_s = verify(headers, body, keys=self._keys, now_s=now_s)
            if abs(age_s) > HINT_S:
                raise Refused("timestamp_far_off", age_s)
            message_id = only(headers, b"webhook-id").decode("latin-1")
            return Proof("signature", age_s, " ".join(receipt(key, message_id) for key in self._keys))
        if not hmac.compare_digest(self._digest, sha256(only(headers, self._name)).digest()):
            raise Refused("wrong_static_header")
        return Proof("static_header")


def by_name(headers: Headers) -> Given:
    given: dict[bytes, bytes | None] = dict(headers)
    if len(given) < len(headers):
        given |= {name: None for name, count in Counter(name for name, _ in headers).items() if count > 1}
    return given


def verify(headers: Given, body: bytes, *, keys: Sequence[bytes], now_s: int) -> int:
    """Check the signature, and return its age in seconds, negative if it is in the future; the caller limits it.

    Raises:
        Refused: no signature matches a key, or a header is malformed.
    """
    if not keys:
        raise Refused("no_secret_set")
    message_id = only(headers, b"webhook-id")
    timestamp = only(headers, b"webhook-timestamp")
    signatures = only(headers, SIGNATURE)
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
    expected = [b"v1," + base64.b64encode(hmac.digest(key, content, "sha256")) for key in keys]
    # A list, so that none is skipped after a match.
    return any([hmac.compare_digest(ours, theirs) for ours in expected for theirs in given])  # noqa: C419 - all are compared, so that the time reveals nothing


def only(headers: Given, name: bytes) -> bytes:
    """Return the value of a header that must occur exactly once.

    Raises:
        Refused: it is missing or repeated.
    """
    value = headers.get(name)
    if value is None:
        raise Refused(f"{'repeated' if name in headers else 'missing'}_{name.decode().replace('-', '_')}")
    return value
