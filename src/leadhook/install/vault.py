"""The webhook URL and signing secret, stored in Supabase Vault."""

import secrets
from base64 import b64encode
from urllib.parse import urlsplit

import psycopg

from leadhook.install.connection import Connection

URL_NAME = "leadhook_webhook_url"
SECRET_NAME = "leadhook_webhook_secret"  # noqa: S105 - a name, no secret
_SECRET_BYTES = 32
_PATH = "/webhooks/leads"


def check_url(url: str) -> None:
    """Refuse a URL that the database could not send webhooks to.

    Raises:
        ValueError: with the reason.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("needs http:// or https:// and a host, e.g. https://leads.example.com/webhooks/leads")
    blanks = any(character.isspace() or not character.isprintable() for character in url)
    if blanks or parts.username is not None or parts.fragment:
        raise ValueError("must not contain a user name, a password, # or spaces")


def hint(url: str) -> str | None:
    """Return a note about a URL that is unusual but accepted."""
    path = urlsplit(url).path
    if path.endswith(_PATH):
        return None
    return f"note: the service receives webhooks at {_PATH}; this URL's path is {path or '/'}"


async def keep_url(connection: Connection, url: str) -> None:
    """Store the webhook URL."""
    await _keep(connection, URL_NAME, url, "where leadhook sends webhooks; set by leadhook webhooks install")


async def drop_unreadable(connection: Connection) -> list[str]:
    """Delete our entries that Vault can't decrypt, as after the loss of its key; return their names."""
    gone = []
    for name in (URL_NAME, SECRET_NAME):
        try:
            await _find(connection, name)
        except psycopg.Error:
            if connection.broken:
                raise
            await connection.execute("delete from vault.secrets where name = %s", (name,))
            gone.append(name)
    return gone


async def keep_secret(connection: Connection) -> tuple[str, bool]:
    """Return the signing secret (several, separated by commas, while one is being replaced) and whether it is new."""
    kept = await _find(connection, SECRET_NAME)
    if kept is not None and (words := (kept[1] or "").split()):
        return ",".join(words), False
    secret = "whsec_" + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    await _keep(connection, SECRET_NAME, secret, "the secret that signs webhooks; set by leadhook webhooks install")
    return secret, True


async def _find(connection: Connection, name: str) -> tuple[str, str] | None:
    rows = await connection.execute(
        "select id::text, decrypted_secret from vault.decrypted_secrets where name = %s", (name,)
    )
    row = await rows.fetchone()
    return None if row is None else (row["id"], row["decrypted_secret"])


async def _keep(connection: Connection, name: str, value: str, description: str) -> None:
    kept = await _find(connection, name)
    if kept is None:
        await connection.execute("select vault.create_secret(%s, %s, %s)", (value, name, description))
    elif kept[1] != value:
        await connection.execute("select vault.update_secret(%s::uuid, %s)", (kept[0], value))
