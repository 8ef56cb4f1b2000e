"""Who is signed in to the console.

A session is a signed cookie; nothing is stored. Its key is the token that was used to sign in, so a token that is
replaced signs out everyone who used it.
"""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from itsdangerous import BadSignature, URLSafeTimedSerializer

from leadhook.web.auth import Admin, Admins

COOKIE: Final = "leadhook_console"
SESSION_S: Final = 12 * 3600
LINK_S: Final = 3600
MOST_LINKS: Final = 100
_SIGNER: Final = {"digest_method": sha256, "key_derivation": "hmac"}


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in admin."""

    admin: Admin
    form_token: str
    """Sent along with each form, so that no other site can send one."""


class Sessions:
    """Starts and checks sessions, and keeps the one-time links of this process."""

    def __init__(self, admins: Admins) -> None:
        self._admins = admins
        self._links: OrderedDict[str, tuple[Admin, float]] = OrderedDict()

    def start(self, admin: Admin) -> str:
        """Return the cookie of a new session; one from before is never continued."""
        return _cookies(admin).dumps(secrets.token_urlsafe(16))

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None if it has ended or is not ours."""
        for admin in self._admins.every:
            try:
                nonce = str(_cookies(admin).loads(cookie, max_age=SESSION_S))
            except BadSignature:
                continue
            return Session(admin, _form_token(admin, nonce))
        return None

    def create_link(self, actor: str) -> str:
        """Return the code of a link with which someone can sign in once, as this admin."""
        admin = next(admin for admin in self._admins.every if admin.actor == actor)
        code = secrets.token_urlsafe(32)
        self._links[sha256(code.encode()).hexdigest()] = admin, time.monotonic() + LINK_S
        if len(self._links) > MOST_LINKS:
            self._links.popitem(last=False)
        return code

    def redeem(self, code: str) -> Admin | None:
        """Return whose link it is, once."""
        admin, until = self._links.pop(sha256(code.encode()).hexdigest(), (None, 0.0))
        return admin if time.monotonic() < until else None


def _cookies(admin: Admin) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(admin.token.get_secret_value(), "leadhook.console", signer_kwargs=_SIGNER)


def _form_token(admin: Admin, nonce: str) -> str:
    return sha256(f"leadhook.console.form {admin.token.get_secret_value()} {nonce}".encode()).hexdigest()
