"""What the secrets in the environment look like, and what can be told of them without showing them."""

import base64
import binascii
import json
import re
from typing import Final
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, SecretStr

WEBHOOK_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the prefix, no secret
WEBHOOK_KEY_BYTES: Final = range(24, 65)
"""Standard Webhooks: a secret has 24 to 64 bytes."""
ADMIN_TOKEN_MIN_CHARS: Final = 16

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class StaticHeader(BaseModel):
    """The one header that a plain dashboard webhook proves itself with."""

    model_config = ConfigDict(frozen=True)

    name: str
    """In lower case."""
    value: SecretStr


def split_words(text: str) -> tuple[str, ...]:
    """Several values in one variable, separated by blanks or commas."""
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def webhook_key(secret: str) -> bytes:
    """The HMAC key behind a `whsec_…` secret; padding may be missing.

    Raises:
        ValueError: in words that do not repeat the secret.
    """
    if not secret.startswith(WEBHOOK_SECRET_PREFIX):
        raise ValueError(f"a secret must begin with {WEBHOOK_SECRET_PREFIX}")
    text = secret.removeprefix(WEBHOOK_SECRET_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"what follows {WEBHOOK_SECRET_PREFIX} must be base64") from None
    if len(key) not in WEBHOOK_KEY_BYTES:
        raise ValueError(f"a secret must hold 24 to 64 bytes, this one holds {len(key)}")
    return key


def static_header(line: str) -> StaticHeader:
    """Read `Name: value`.

    Raises:
        ValueError: in words that do not repeat the value.
    """
    name, colon, value = (part.strip() for part in line.partition(":"))
    if not colon or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError("must be one header as `Name: value`, in ASCII")
    return StaticHeader(name=name.lower(), value=SecretStr(value))


def otlp_headers(text: str) -> dict[str, str]:
    """Read `name=value,name=value` as OpenTelemetry writes it, values percent-encoded.

    Raises:
        ValueError: in words that do not repeat a value.
    """
    headers = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        value = unquote(value)
        if not equals or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError("must be `name=value`, several separated by commas, values percent-encoded")
        headers[name.lower()] = value
    return headers


def supabase_role(key: str) -> str | None:
    """The database role that a Supabase key stands for, as far as the key tells; its signature is not checked.

    Returns:
        `service_role`, `anon`, another role of a JWT, or None when the key does not say.
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
