"""Standard Webhooks, version v1: is this body signed with a secret of ours?

The headers are whatever the sender put on the wire, so everything here works on bytes and nothing raises but `Refused`.
Whether a signature fits is decided for all secrets and all signatures before anything is said of it.
"""

import base64
import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

LONGEST_ID: Final = 256
LONGEST_SIGNATURES: Final = 2048
LONGEST_TIMESTAMP: Final = 12
"""Digits; enough for 30,000 years."""

Headers = Iterable[tuple[bytes, bytes]]
"""As ASGI hands them over: names in lower case, repeated where they were repeated."""


class Refused(Exception):  # noqa: N818 - a result, not an error
    """The sender did not prove itself.

    Attributes:
        reason: `snake_case`, for the log alone; from outside all refusals look the same.
        skew_s: how far the sender's clock is off, where the signature fits.
    """

    def __init__(self, reason: str, skew_s: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.skew_s = skew_s


def only(headers: Headers, name: bytes) -> bytes:
    """The value of a header that must be there exactly once.

    Raises:
        Refused: it is missing or repeated.
    """
    values = [value for given, value in headers if given == name]
    if not values:
        raise Refused(f"missing_{name.decode().replace('-', '_')}")
    if len(values) > 1:
        raise Refused(f"repeated_{name.decode().replace('-', '_')}")
    return values[0]


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
    return any([hmac.compare_digest(ours, theirs) for ours in expected for theirs in given])  # noqa: C419 - every one is compared, so that time tells nothing
