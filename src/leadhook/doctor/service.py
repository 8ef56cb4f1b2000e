"""What the running service says of itself, and what the project's API says of its key."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from leadhook import network
from leadhook.advice import key_problem
from leadhook.doctor.check import Check, fault, ok, warning
from leadhook.domain.findings import check_status, check_workers
from leadhook.domain.phrases import sentence
from leadhook.domain.status import Status
from leadhook.settings import Settings
from leadhook.store import StoreError, open_store

PATIENCE_S: Final = 10.0
LOG: Final = "The service's log says since when, and names the leads; `leadhook status` shows what waits."
SKEW_S: Final = 5.0
"""Signatures are good for minutes, and leases are the database's: a few seconds do no harm."""


async def ask_supabase(settings: Settings) -> tuple[Status | None, list[Check]]:
    """As the service does: over the API, with its key."""
    if settings.supabase_key_name == "SUPABASE_ANON_KEY":
        words = "Only SUPABASE_ANON_KEY is set: the database refuses its work to it."
        return None, [fault("supabase", words, "Set SUPABASE_SECRET_KEY (dashboard: Project Settings > API Keys).")]
    try:
        async with open_store(settings.supabase_url, settings.supabase_key.get_secret_value()) as store:
            status = await store.status()
    except StoreError as error:
        return None, [fault("supabase", sentence(error.reason), _remedy(error, settings))]
    told = check_status(status)
    found = [ok("supabase", f"{settings.supabase_url} answers, and {settings.supabase_key_name} may do the work.")]
    reasons = (*told.reasons, *check_workers(status, settings.sweep_interval_sec))
    found += [fault("supabase", each.sentence, each.remedy, each.code) for each in reasons]
    found += [warning("supabase", each.sentence, each.remedy, each.code) for each in told.warnings]
    return status, found


async def ask_service(url: str) -> list[Check]:
    """GET /ready, wherever the database sends webhooks."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session,
            session.get(f"{url}/ready", proxy=network.proxy_for(url), ssl=network.trust()) as reply,
        ):
            date, body = reply.headers.get("Date"), await reply.json(content_type=None)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        words = f"No service answers at {url}/ready ({type(error).__name__})."
        return [fault("service", words, "leadhook serve; or name its address with --service.")]
    found = [fault("service", reason, LOG, cause=reason) for reason in _strings(body, "reasons")]
    found = found or [ok("service", f"The service at {url} is ready.")]
    return found + (check_clock("the service", parsedate_to_datetime(date)) if date else [])


def check_clock(whose: str, told: datetime, now: datetime | None = None) -> list[Check]:
    """How far a clock is from this machine's."""
    skew_s = (told - (now or datetime.now(UTC))).total_seconds()
    if abs(skew_s) <= SKEW_S:
        return [ok("clock", f"The clocks of {whose} and this machine agree.")]
    words = f"The clock of {whose} is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's."
    return [warning("clock", words, "Is a time service (NTP) running on both?")]


def service_url(webhook_url: str | None, settings: Settings | None) -> str:
    """Where to look for the service: where the database sends webhooks, else where these settings have it listen."""
    if webhook_url:
        parts = urlsplit(webhook_url.strip())
        return f"{parts.scheme}://{parts.netloc}"
    return f"http://127.0.0.1:{settings.port if settings else 8000}"


def _remedy(error: StoreError, settings: Settings) -> str:
    if problem := key_problem(settings) if error.kind == "misconfigured" else None:
        return problem
    if error.code == "PGRST106":
        return "Dashboard: Project Settings > Data API > Exposed schemas, add public."
    if error.wrong_settings:
        return "Copy URL and secret key again from the dashboard: Project Settings > API Keys."
    if error.kind == "unavailable":
        return f"Check that {settings.supabase_url} is the project's address and that the project runs, then repeat."
    return "leadhook migrate"


def _strings(body: Any, name: str) -> list[str]:
    items = body.get(name) if isinstance(body, dict) else None
    return [str(item) for item in items] if isinstance(items, list) else []
