"""The keys of a local project, as a hosted one has them: random, and kept in one file."""

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

TEN_YEARS_S = 10 * 365 * 86_400


@dataclass(frozen=True, repr=False)
class Keys:
    """Everything secret that the stack needs; the JWTs follow from jwt_secret."""

    jwt_secret: str
    anon_key: str
    service_role_key: str
    publishable_key: str
    secret_key: str
    admin_token: str
    superuser_password: str
    postgres_password: str
    authenticator_password: str


def new_keys() -> Keys:
    jwt_secret = secrets.token_urlsafe(48)
    return Keys(
        jwt_secret=jwt_secret,
        anon_key=sign_jwt(jwt_secret, "anon"),
        service_role_key=sign_jwt(jwt_secret, "service_role"),
        publishable_key=f"sb_publishable_{_letters(22)}_{_letters(8)}",
        secret_key=f"sb_secret_{_letters(22)}_{_letters(8)}",
        admin_token=secrets.token_urlsafe(32),
        superuser_password=secrets.token_urlsafe(24),
        postgres_password=secrets.token_urlsafe(24),
        authenticator_password=secrets.token_urlsafe(24),
    )


def keys_of(file: Path) -> Keys:
    """Return the keys in this file; create it first if it is missing."""
    if file.exists():
        return Keys(**json.loads(file.read_text()))
    keys = new_keys()
    write_private(file, json.dumps(asdict(keys), indent=2))
    return keys


def sign_jwt(jwt_secret: str, role: str) -> str:
    """Return an HS256 token for this role, valid for ten years."""
    now = int(time.time())
    claims = {"iss": "supabase", "ref": "local", "role": role, "iat": now, "exp": now + TEN_YEARS_S}
    signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
    signature = hmac.digest(jwt_secret.encode(), signed.encode(), hashlib.sha256)
    return f"{signed}.{_base64url(signature)}"


def write_private(file: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner alone."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    fresh.replace(file)


def _encode(part: dict[str, object]) -> str:
    return _base64url(json.dumps(part, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _letters(n: int) -> str:
    return secrets.token_hex(n)[:n]
