"""Checks what is reached over the network: Supabase's API, the service, the log service, the database's webhooks."""

import asyncio
import json
import os
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
import anyio.to_thread
from pydantic import BaseModel, ValidationError

from leadhook import network
from leadhook.advice import key_problem
from leadhook.credentials import receipt, webhook_key
from leadhook.doctor.check import Check, Level, check_installation, fault, ok, warning
from leadhook.doctor.database import DatabaseFacts, sql
from leadhook.domain.facts import in_utc
from leadhook.domain.findings import INSTALL, MIGRATE, RESTART_PG_NET, SET_UP_WEBHOOKS, describe_delivery, fix_delivery
from leadhook.domain.lead_snapshot import WebhookDelivery
from leadhook.domain.phrases import sentence
from leadhook.install.connection import Connection, fetch_all, fetch_one, fetch_optional
from leadhook.install.webhooks import SECRET_NAME, URL_NAME, check_url, describe_odd_path
from leadhook.observability.events import Event
from leadhook.settings import Settings
from leadhook.store import StoreError, open_store

if TYPE_CHECKING:
    from leadhook.observability.shipping import ShippingAnswer

_READY_TIMEOUT_S: Final = 10.0
_ROUND_TRIP_S: Final = 15.0
"""pg_net sends within a second, and waits 5 s for the service's answer."""
_WAKES_SINCE: Final = (0, 19)
"""The first version of pg_net with net.wake()."""
_MOST_SKEW_S: Final = 5.0
"""Signatures are valid for minutes, and leases use the database's clock: a few seconds do no harm."""
_API_KEYS: Final = "Copy URL and secret key again from the dashboard: Project Settings > API Keys."
_PROVIDERS: Final = "docs/logs.md has the settings of each provider."
_LOG_REMEDIES: Final = {
    "unavailable": f"Check the address, and that this machine reaches it. {_PROVIDERS}",
    "denied": f"Correct OTEL_EXPORTER_OTLP_HEADERS or the address. {_PROVIDERS}",
    "refused": f"Check that this address accepts OTLP over HTTP in protobuf. {_PROVIDERS}",
    "too_large": f"Check that this address accepts OTLP over HTTP. {_PROVIDERS}",
}


class _ReadyAnswer(BaseModel):
    ready: bool
    reasons: tuple[str, ...]


async def check_api(settings: Settings) -> list[Check]:
    """Ask the database for its status as the service does: over the API, with the service's key."""
    if problem := key_problem(settings):
        return [fault("supabase", problem, _API_KEYS)]
    try:
        async with open_store(settings.supabase_url, settings.supabase_key.get_secret_value()) as store:
            status = await store.status()
    except StoreError as error:
        return [fault("supabase", sentence(error.reason), _fix_api(error, settings))]
    words = f"{settings.supabase_url} answers, and {settings.supabase_key_name} may claim and save leads."
    return [ok("supabase", words), *check_installation(status, settings.sweep_interval_sec)]


def _fix_api(error: StoreError, settings: Settings) -> str:
    if error.code == "PGRST106":
        return "Dashboard: Project Settings > Data API > Exposed schemas, add public."
    if error.wrong_settings:
        return _API_KEYS
    if error.may_be_paused:
        return "Dashboard: restore the project if it is paused, then repeat."
    if error.kind == "unavailable":
        return f"Check that {settings.supabase_url} is the project's address and that the project runs, then repeat."
    if error.code == "PGRST202":
        return f"Run `{INSTALL}`, or `leadhook migrate` if it is installed."
    return MIGRATE


async def check_service(url: str) -> list[Check]:
    """GET /ready of the running service."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_READY_TIMEOUT_S)) as session,
            session.get(f"{url}/ready", proxy=network.proxy_for(url), ssl=network.trust()) as reply,
        ):
            status, date, body = reply.status, reply.headers.get("Date"), await reply.read()
    except (aiohttp.ClientError, OSError) as error:
        words = f"No service answers at {network.without_credentials(url)}/ready ({network.why_unreachable(error)})."
        return [fault("service", words, "Start it: `leadhook serve`; or name its address with --service.")]
    try:
        answer = _ReadyAnswer.model_validate_json(body)
    except ValidationError:
        words = f"Another server than leadhook answers at {network.without_credentials(url)}/ready (HTTP {status})."
        return [fault("service", words, "Correct the address, or name the service's own with --service.")]
    found = [_reported(url, code) for code in answer.reasons]
    found = found or [ok("service", f"The service at {network.without_credentials(url)} is ready.")]
    return found + check_date(date)


def check_date(header: str | None) -> list[Check]:
    """Check the service's clock by a Date header, if there is a readable one."""
    try:
        date = parsedate_to_datetime(header or "")
    except ValueError:
        return []
    return [check_clock("the service", in_utc(date))]


def _reported(url: str, code: str) -> Check:
    """The service's sentences need an admin token, which is sent to no address that is only presumed to be its own."""
    remedy = (
        f"GET {network.without_credentials(url)}/ready with an admin token explains it, and so does the service's log."
    )
    return Check(about="service", level=Level.FAULT, code=code, sentence=f"The service reports {code}.", remedy=remedy)


def check_clock(whose: str, theirs: datetime) -> Check:
    skew_s = (theirs - datetime.now(UTC)).total_seconds()
    if abs(skew_s) <= _MOST_SKEW_S:
        return ok("clock", f"The clocks of {whose} and this machine agree.")
    words = f"The clock of {whose} is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's."
    return warning("clock", words, "Check that a time service (NTP) runs on both.")


async def check_logs(settings: Settings) -> list[Check]:
    """Send one line where these settings ship the log, and check the operator's file."""
    return [await _try_shipping(settings), *_check_file(settings.log_file)]


def _check_file(file: Path | None) -> list[Check]:
    if file is None or os.access(file if file.exists() else file.parent, os.W_OK):
        return []
    return [warning("logs", f"LOG_FILE {file} cannot be written.", "Create its folder, or set another file.")]


async def _try_shipping(settings: Settings) -> Check:
    if settings.log_ship == "none":
        return ok("logs", "The log goes to standard output; LOG_SHIP=otlp ships it to a log service as well.")
    answer = await anyio.to_thread.run_sync(partial(_send, settings))
    where = network.without_credentials(settings.otlp_logs_url)
    if answer.meaning != "accepted":
        words = f"The log service at {where} does not accept a line: {answer.reason}."
        return fault("logs", words, _LOG_REMEDIES[answer.meaning])
    if answer.rejected:
        return warning("logs", f"The log service at {where} rejected the line.", _LOG_REMEDIES["refused"])
    return ok("logs", f"The log service at {where} accepted a line: {Event.DOCTOR_ASKED}.")


def _send(settings: Settings) -> "ShippingAnswer":
    # OpenTelemetry is imported only by those who ship their log.
    from leadhook.observability.shipping import Exporter, to_record

    line = {"timestamp": datetime.now(UTC).isoformat(), "level": "info", "event": Event.DOCTOR_ASKED}
    exporter = Exporter(settings)
    try:
        return exporter.send([to_record(json.dumps(line).encode())])
    finally:
        exporter.close()


def check_vault(vault: Mapping[str, str], secrets: Sequence[str]) -> list[Check]:
    """Check that URL and secret in Vault are usable and, if the service's secrets are known here, match them.

    The status reports those that are missing.
    """
    found = _check_stored_url(vault[URL_NAME]) if vault.get(URL_NAME) else []
    stored = vault.get(SECRET_NAME, "").split()
    if not all(_is_secret(secret) for secret in stored):
        words = f"{SECRET_NAME} in Vault is not a `whsec_…` of 24 bytes or more: webhooks cannot be signed."
        found.append(fault("webhooks", words, f"Delete {SECRET_NAME} on the dashboard's Vault page. {SET_UP_WEBHOOKS}"))
    elif stored and secrets and not {*map(webhook_key, stored)} & {*map(webhook_key, secrets)}:
        words = "WEBHOOK_SECRETS here and the secret in Vault differ: webhooks are refused."
        found.append(fault("webhooks", words, f"{SET_UP_WEBHOOKS} It prints the line to set."))
    return found


def _check_stored_url(url: str) -> list[Check]:
    try:
        check_url(url)
    except ValueError as error:
        return [fault("webhooks", f"{URL_NAME} in Vault is not usable: {error}.", SET_UP_WEBHOOKS)]
    if note := describe_odd_path(url):
        return [fault("webhooks", f"{URL_NAME}: {note}.", SET_UP_WEBHOOKS)]
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        return [warning("webhooks", "Webhooks are sent without TLS.", f"{SET_UP_WEBHOOKS} Use an https:// URL.")]
    return []


def _is_secret(secret: str) -> bool:
    try:
        webhook_key(secret)
    except ValueError:
        return False
    return True


async def try_webhooks(connection: Connection, facts: DatabaseFacts) -> list[Check]:
    """Send a webhook from the database and check those of the last hour, where pg_net can send any."""
    if not facts.status.webhook_setup.pg_net:
        return []
    if not facts.row["pg_net_lives"]:
        words = "pg_net's worker does not run: webhooks are queued and not sent."
        return [fault("pg_net", words, RESTART_PG_NET)]
    round_trip = await _make_round_trip(connection, facts)
    rows = await fetch_all(connection, sql("webhooks"))
    recent = check_webhooks([WebhookDelivery.model_validate(row) for row in rows])
    return [round_trip, *recent, *check_version(facts.row["pg_net_version"])]


def check_version(version: str) -> list[Check]:
    """Check when this version of pg_net sends: before 0.19, it looks for requests once a second."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers >= _WAKES_SINCE:
        return [ok("pg_net", f"pg_net {version} sends a webhook as soon as its transaction has committed.")]
    words = (
        f"pg_net {version} sends webhooks up to a second late: it looks for them once a second. Newer ones are woken."
    )
    return [
        warning(
            "pg_net",
            words,
            "Upgrade Postgres in the dashboard (Settings > Infrastructure), which brings 0.19 or newer.",
        )
    ]


def check_webhooks(recent: Sequence[WebhookDelivery]) -> list[Check]:
    """One finding for each way in which webhooks, newest first, failed; a warning if a later one arrived.

    The doctor's own webhook is the newest: a service that was down for a while and answers now is no fault.
    """
    failed = Counter((describe_delivery(each), fix_delivery(each)) for each in recent if each.failed)
    newest = next((each for each in recent if each.arrived or each.failed), None)
    is_over = newest is not None and newest.arrived
    note = "Nothing to do: newer webhooks arrive, and the sweep finds the leads of these. If it happens again: "
    report, note = (warning, note) if is_over else (fault, "")
    found = [
        report(
            "pg_net",
            f"{number} of the last {len(recent)} webhooks failed: {'it' if number == 1 else 'each'} {words}.",
            f"{note}{remedy}",
        )
        for (words, remedy), number in failed.most_common()
    ]
    return found or [ok("pg_net", "pg_net's worker runs, and no webhook of the last hour failed.")]


async def _make_round_trip(connection: Connection, facts: DatabaseFacts) -> Check:
    """Have the database send a webhook, and wait for the service's response as pg_net has it."""
    began_at = time.monotonic()
    async with connection.transaction():
        await connection.execute("select leadhook.send_webhook('doctor')")
        sent = await fetch_one(connection, sql("sent"))
    if sent["error"]:
        return fault("round trip", f"The database could not send a webhook: {sent['error']}.", SET_UP_WEBHOOKS)
    while time.monotonic() - began_at < _ROUND_TRIP_S:
        rows, sqlstate = await fetch_optional(connection, sql("answer"), sent)
        if sqlstate is not None:
            words = f"A webhook was queued, but pg_net's responses cannot be read (SQLSTATE {sqlstate})."
            return warning("round trip", words, "Look for webhook.accepted in the service's log.")
        if rows:
            secrets = facts.vault.get(SECRET_NAME, "").split()
            return _describe_round_trip(sent | rows[0], secrets, time.monotonic() - began_at)
        await asyncio.sleep(0.1)
    words = f"A webhook was queued, but pg_net did not send it within {_ROUND_TRIP_S:g} s."
    return fault("round trip", words, RESTART_PG_NET)


def _describe_round_trip(row: Mapping[str, Any], secrets: Sequence[str], took_s: float) -> Check:
    webhook = WebhookDelivery.model_validate({name: row[name] for name in WebhookDelivery.model_fields if name in row})
    expected = {receipt(webhook_key(secret), row["message_id"]) for secret in secrets if _is_secret(secret)}
    if webhook.arrived and not expected & {*(row["receipts"] or "").split()}:
        words = "A webhook was answered by another server: HTTP 202, but without the receipt that this service signs."
        return fault("round trip", words, f"{SET_UP_WEBHOOKS} Use the service's own URL.")
    if webhook.arrived:
        return ok("round trip", f"A webhook reached the service and was accepted, in {took_s:.1f} s.")
    return fault("round trip", f"A webhook {describe_delivery(webhook)}.", fix_delivery(webhook))
