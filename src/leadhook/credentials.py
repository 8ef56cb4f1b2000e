"""Parses the secrets in the environment. Error messages never contain a secret."""

import base64
import binascii
import hmac
import json
import re
from typing import Final
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, SecretStr

WEBHOOK_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix, no secret
WEBHOOK_KEY_BYTES: Final = range(24, 65)
"""Standard Webhooks: a secret has 24 to 64 bytes."""
ADMIN_TOKEN_MIN_CHARS: Final = 16
ADMIN_TOKEN_MIN_DIFFERENT: Final = 6

_SIGNATURE_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PASSWORD: Final = re.compile(r"password\s*=\s*('(?:[^'\\]|\\.)*'|[^\s&]+)")
_PASSWORD_IN_URL: Final = re.compile(r"^[a-z]+://[^:@/]*:(.+)@", re.IGNORECASE)
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class StaticHeader(BaseModel):
    """The header that authenticates plain dashboard webhooks."""

    model_config = ConfigDict(frozen=True)

    name: str
    """In lower case."""
    value: SecretStr


def split_words(text: str) -> tuple[str, ...]:
    """Split a variable with several values, separated by spaces or commas."""
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def webhook_key(secret: str) -> bytes:
    """Decode the HMAC key of a `whsec_…` secret; padding is optional.

    Raises:
        ValueError: without the secret in its message.
    """
    if not secret.startswith(WEBHOOK_SECRET_PREFIX):
        raise ValueError(f"a secret must start with {WEBHOOK_SECRET_PREFIX}")
    text = secret.removeprefix(WEBHOOK_SECRET_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the part after {WEBHOOK_SECRET_PREFIX} must be base64") from None
    if len(key) not in WEBHOOK_KEY_BYTES:
        raise ValueError(f"a secret must have 24 to 64 bytes, but this one has {len(key)}")
    return key


def receipt(key: bytes, message_id: str) -> str:
    """Return what the service answers to a signed webhook: only a server that has the secret can."""
    return base64.b64encode(hmac.digest(key, f"receipt.{message_id}".encode(), "sha256")).decode()


def static_header(line: str) -> StaticHeader:
    """Parse `Name: value`.

    Raises:
        ValueError: without the value in its message.
    """
    name, colon, value = (part.strip() for part in line.partition(":"))
    if not colon or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError("must be one header in the form `Name: value`, in ASCII")
    if name.lower() in _SIGNATURE_HEADERS:
        raise ValueError(
            "must not have the name of a header of signed webhooks; choose another one, like x-webhook-secret"
        )
    return StaticHeader(name=name.lower(), value=SecretStr(value))


def otlp_headers(text: str) -> dict[str, str]:
    """Parse OpenTelemetry's `name=value,name=value` with percent-encoded values.

    Raises:
        ValueError: without any value in its message.
    """
    headers = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        value = unquote(value)
        if not equals or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError("must be `name=value` pairs separated by commas, with percent-encoded values")
        headers[name.lower()] = value
    return headers


def database_passwords(conninfo: str) -> list[str]:
    """Return the passwords in a connection string of libpq, a URL or `key=value` pairs, as written and decoded."""
    # Not urlsplit, which refuses brackets and cuts a password at `#`.
    found = [*_PASSWORD_IN_URL.findall(conninfo), *(word.strip("'") for word in _PASSWORD.findall(conninfo))]
    return list(dict.fromkeys([*found, *map(unquote, found)]))


def supabase_role(key: str) -> str | None:
    """Return the database role that a Supabase key claims; its signature is not checked.

    Returns:
        `service_role`, `anon`, another role of a JWT, or None if the key does not contain it.
    """
    if key.startswith("sb_secret_"):
        return "service_role"
    if key.startswith("sb_publishable_"):
        return "anon"
    parts = key.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - a JWT: header, claims, signature
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    role = claims.get("role") if isinstance(claims, dict) else None
    return role if isinstance(role, str) else None
