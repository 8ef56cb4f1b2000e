"""Whether webhooks leave the database and arrive: Vault, pg_net, what became of the last ones, and one test."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from leadhook.credentials import webhook_key
from leadhook.doctor.check import Check, fault, ok, warning
from leadhook.doctor.database import WEBHOOKS, DatabaseFacts, sql
from leadhook.install.connection import Connection, fetch_one, fetch_optional
from leadhook.install.vault import SECRET_NAME, URL_NAME, check_url, hint

ROUND_TRIP_S: Final = 15.0
"""pg_net sends a second later at worst, and gives the service five."""
DASHBOARD: Final = "Enable pg_net under Database > Extensions in the dashboard, then: "
RESTART: Final = "select net.worker_restart();  -- if it stays dead, restart the database from the dashboard"

_HOW = {
    401: ("the service refused its signature", "Give the service the secret that `leadhook webhooks install` prints."),
    404: ("there is no such address", WEBHOOKS),
    413: ("the service found it too large", "Tell us: a webhook has 4 kB at most."),
}


def check_vault(vault: dict[str, str], secrets: Sequence[str], unreadable: str | None = None) -> list[Check]:
    """The address and the secret.

    Args:
        vault: what it holds of ours.
        secrets: those of the service's environment, if they are known here.
        unreadable: the SQLSTATE with which Vault could not be read.
    """
    if unreadable is not None:
        words = f"Vault can't be read (SQLSTATE {unreadable}): webhooks can't be signed, and leads wait for the sweep."
        return [fault("webhook", words, f"{WEBHOOKS}  replaces what can't be decrypted, and prints the line to set")]
    found = []
    url, kept = vault.get(URL_NAME, "").strip(), vault.get(SECRET_NAME, "").split()
    if not url:
        found.append(
            fault("webhook", f"Vault holds no {URL_NAME}: the database does not know where to send webhooks.", WEBHOOKS)
        )
    else:
        found += _check_url(url)
    if not kept:
        found.append(fault("webhook", f"Vault holds no {SECRET_NAME}: webhooks can't be signed.", WEBHOOKS))
    elif not all(_is_secret(secret) for secret in kept):
        words = f"{SECRET_NAME} in Vault is no `whsec_…` of 24 bytes or more: webhooks can't be signed."
        found.append(fault("webhook", words, f"Delete {SECRET_NAME} on the dashboard's Vault page, then: {WEBHOOKS}"))
    elif secrets and not {webhook_key(secret) for secret in kept} & {webhook_key(secret) for secret in secrets}:
        words = "WEBHOOK_SECRETS here and the secret in Vault differ: webhooks are refused."
        found.append(fault("webhook", words, f"{WEBHOOKS}  prints the line to set"))
    return found or [ok("webhook", f"The database sends webhooks to {url}.")]


def _check_url(url: str) -> list[Check]:
    try:
        check_url(url)
    except ValueError as error:
        return [fault("webhook", f"{URL_NAME} in Vault can't be reached: {error}.", WEBHOOKS)]
    if odd := hint(url):
        return [fault("webhook", f"{URL_NAME}: {odd.removeprefix('note: ')}.", WEBHOOKS)]
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        return [warning("webhook", "Webhooks travel without TLS.", WEBHOOKS)]
    return []


def _is_secret(secret: str) -> bool:
    try:
        webhook_key(secret)
    except ValueError:
        return False
    return True


def check_pg_net(facts: DatabaseFacts) -> list[Check]:
    """Whether it is there and alive; nothing where it is."""
    if "supabase_vault" not in facts.row["extensions"]:
        return [
            fault(
                "webhook",
                "Vault (supabase_vault) is not enabled.",
                DASHBOARD.replace("pg_net", "supabase_vault") + WEBHOOKS,
            )
        ]
    if "pg_net" not in facts.row["extensions"]:
        return [
            fault(
                "pg_net",
                "pg_net is not enabled: no webhook is sent, every lead waits for the sweep.",
                DASHBOARD + WEBHOOKS,
            )
        ]
    if not facts.row["pg_net_lives"]:
        return [fault("pg_net", "pg_net's worker does not run: webhooks are queued and not sent.", RESTART)]
    return []


def check_webhook_deliveries(webhooks: Sequence[dict[str, Any]]) -> list[Check]:
    """A sentence for each way in which webhooks of the last hour failed; only warnings when a later one arrived.

    The doctor's own webhook is the latest: a service that was down for a while and answers now is no fault.

    Args:
        webhooks: newest first.
    """
    answered = [webhook for webhook in webhooks if _arrived(webhook) or _why(webhook)]
    failed = Counter(why for webhook in webhooks if (why := _why(webhook)) is not None)
    found = [
        fault("pg_net", f"{n} of the last {len(webhooks)} webhooks failed: {words}.", fix)
        for (words, fix), n in failed.most_common()
    ]
    if answered and _arrived(answered[0]):
        over = "Nothing, as newer ones arrive, and the sweep finds the leads of these. If it goes on: "
        found = [warning(each.about, each.sentence, f"{over}{each.fix}") for each in found]
    return found or [ok("pg_net", "pg_net is alive, and no webhook of the last hour failed.")]


def _arrived(webhook: dict[str, Any]) -> bool:
    return webhook["status_code"] is not None and 200 <= webhook["status_code"] < 300  # noqa: PLR2004 - HTTP's classes


def _why(webhook: dict[str, Any]) -> tuple[str, str] | None:  # noqa: PLR0911 - a table, one line a case
    status, error = webhook["status_code"], webhook["error_msg"] or ""
    if webhook["not_sent"]:
        return f"they could not be queued ({webhook['not_sent']})", WEBHOOKS
    if _arrived(webhook):
        return None
    if status in _HOW:
        words, fix = _HOW[status]
        return f"{words} (HTTP {status})", fix
    if status is not None:
        return f"the service answered HTTP {status}", "Look into the service's log, and at /ready."
    if webhook["timed_out"] or "timeout" in error.lower():
        return "the service took longer than 5 s", 'Is it asleep or overloaded? On Fly: auto_stop_machines = "off".'
    if "resolve" in error.lower():
        return "the host of the address is unknown", WEBHOOKS
    if error:
        return f"nothing is listening there ({error})", f"Start the service, or: {WEBHOOKS}"
    return None


async def make_round_trip(connection: Connection, tell_of_waiting: float = ROUND_TRIP_S) -> list[Check]:
    """Have the database send a webhook, and wait for the service's answer as pg_net heard it."""
    began_at = time.monotonic()
    async with connection.transaction():
        await connection.execute("select leadhook.send_webhook('doctor')")
        webhook = await fetch_one(connection, sql("sent"))
    if webhook["error"]:
        return [fault("round trip", f"The database could not send webhooks: {webhook['error']}.", WEBHOOKS)]
    while time.monotonic() - began_at < tell_of_waiting:
        answers, unreadable = await fetch_optional(connection, sql("answer"), webhook)
        if unreadable is not None:
            words = f"A webhook was queued, but pg_net's answers can't be read (SQLSTATE {unreadable})."
            return [warning("round trip", words, "The service's log says whether it came: webhook.accepted.")]
        if answers:
            if why := _why(answers[0]):
                return [fault("round trip", f"A webhook was sent, but {why[0]}.", why[1])]
            took = time.monotonic() - began_at
            return [ok("round trip", f"A webhook reached the service and was accepted, in {took:.1f} s.")]
        await asyncio.sleep(0.1)
    return [
        fault("round trip", f"A webhook was queued, and pg_net did not send it within {tell_of_waiting:g} s.", RESTART)
    ]
