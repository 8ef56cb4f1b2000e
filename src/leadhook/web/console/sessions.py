"""Who is signed in to the console.

A session is a signed cookie, and a sign-in link a signed code; any process with the same tokens can check them. Their
key is the admin's token, so a token that is replaced signs out everyone who used it.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from itsdangerous import BadSignature, URLSafeTimedSerializer

from leadhook.web.auth import Admin, Admins

COOKIE: Final = "leadhook_console"
SESSION_S: Final = 12 * 3600
LINK_S: Final = 3600
_COOKIE_PURPOSE: Final = "leadhook.console"
_LINK_PURPOSE: Final = "leadhook.console.link"
_SIGNER: Final = {"digest_method": sha256, "key_derivation": "hmac"}


@dataclass(frozen=True, slots=True)
class Session:
    admin: Admin
    form_token: str
    """Sent along with each form, so that no other site can send one."""


@dataclass(frozen=True, slots=True)
class SignInLink:
    """A link with which someone can sign in once, as this admin."""

    admin: Admin
    fingerprint: str
    """By which the database knows whether it was used."""


def start_session(admin: Admin) -> str:
    """Return the cookie of a new session; one from before is never continued."""
    return _sign(admin, _COOKIE_PURPOSE)


def find_session(admins: Admins, cookie: str) -> Session | None:
    """Return the session of a cookie; None if it has ended or is not ours."""
    if (found := _read(admins, cookie, _COOKIE_PURPOSE, SESSION_S)) is None:
        return None
    admin, nonce = found
    return Session(admin, _digest(f"leadhook.console.form {admin.token.get_secret_value()} {nonce}"))


def create_link(admins: Admins, actor: str) -> str:
    return _sign(next(admin for admin in admins.every if admin.actor == actor), _LINK_PURPOSE)


def find_link(admins: Admins, code: str) -> SignInLink | None:
    """Return the link of a code, used or not; None if it is too old or not ours."""
    found = _read(admins, code, _LINK_PURPOSE, LINK_S)
    return None if found is None else SignInLink(found[0], _digest(found[1])[:32])


def _sign(admin: Admin, purpose: str) -> str:
    return _serializer(admin, purpose).dumps(secrets.token_urlsafe(16))


def _read(admins: Admins, signed: str, purpose: str, max_age_s: int) -> tuple[Admin, str] | None:
    for admin in admins.every:
        with suppress(BadSignature):
            return admin, str(_serializer(admin, purpose).loads(signed, max_age=max_age_s))
    return None


def _serializer(admin: Admin, purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(admin.token.get_secret_value(), purpose, signer_kwargs=_SIGNER)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
