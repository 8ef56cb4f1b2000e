"""The run: settings, database, API, service; each part is checked as far as what was found before allows."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from leadhook import advice
from leadhook.command_error import CommandError, MisuseError
from leadhook.doctor import database, keys, network
from leadhook.doctor.check import Check, Level, check_installation, fault, ok, shared, warning
from leadhook.domain.findings import SET_UP_WEBHOOKS, Code, Finding
from leadhook.domain.phrases import amount
from leadhook.install.connection import Connection, connect
from leadhook.install.webhooks import URL_NAME
from leadhook.network import without_credentials
from leadhook.prices import PriceList, read_prices
from leadhook.settings import Settings, SettingsError, load_settings, read_variable

_CONNECT: Final = (
    "DATABASE_URL is the direct connection of the database's owner: dashboard, Connect > Direct connection "
    "(or Session pooler where there is no IPv6)."
)
_MODEL: Final[str] = Settings.model_fields["gemini_model"].default
_SWEEP_INTERVAL_S: Final[float] = Settings.model_fields["sweep_interval_sec"].default
_ALL_ADDRESSES: Final = ("0.0.0.0", "::")  # noqa: S104 - what the service may listen on
_TABLE: Final = "The README's table has every setting; .env.example too."
_WITHOUT_DATABASE_URL: Final = Check(
    about="database",
    level=Level.SKIPPED,
    sentence="Not checked, because DATABASE_URL is not set: grants, row level security, indexes, sequences, disabled "
    "triggers, the stored keys, Vault, pg_net, recent webhooks and a webhook sent there and back.",
    remedy="export DATABASE_URL='postgresql://postgres:…@db.PROJECT.supabase.co:5432/postgres'",
)


async def examine(
    show: Callable[[Check], None], *, live: bool = False, at: str | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Check everything that these settings make it possible to check.

    Args:
        show: called with each finding as soon as it is made.
        live: ask Google about each key.
        at: the service's address; None is where the database sends webhooks.
    """
    env = os.environ if env is None else env
    report = ShownOnce(show)
    settings, prices = _check_settings(report, env)
    if settings is not None:
        report.add([keys.check_model(settings.gemini_model, prices)])
        report.add(await network.check_logs(settings))
    webhook_url = None
    if url := read_variable(env, "DATABASE_URL"):
        try:
            async with connect(url) as connection:
                webhook_url = await _examine_database(connection, report, settings, live=live)
        except CommandError as error:
            report.add([fault("settings" if isinstance(error, MisuseError) else "database", str(error), _CONNECT)])
    else:
        report.add([_WITHOUT_DATABASE_URL])
    if settings is not None:
        report.add(await network.check_api(settings))
    report.add(await network.check_service(at or _service_url(webhook_url, settings)))


def _service_url(webhook_url: str | None, settings: Settings | None) -> str:
    """Where the database sends webhooks, else where the service listens with these settings."""
    with suppress(ValueError):  # half an IPv6 address
        parts = urlsplit(webhook_url or "")
        if parts.netloc:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if settings is None:
        return "http://127.0.0.1:8000"
    host = settings.host if settings.host not in _ALL_ADDRESSES else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


class ShownOnce:
    """Shows each finding once, though settings, database, API and service may all report it."""

    def __init__(self, show: Callable[[Check], None]) -> None:
        self._show = show
        self._seen: set[str] = set()

    def add(self, checks: Iterable[Check]) -> None:
        new = [check for check in checks if check.level is Level.OK or not _names(check) & self._seen]
        for check in new:
            self._seen |= _names(check)
            self._show(check)


def _names(check: Check) -> set[str]:
    """`/ready` gives codes alone."""
    return {check.sentence, *([check.code] if check.code else [])}


def _check_settings(report: ShownOnce, env: Mapping[str, str]) -> tuple[Settings | None, PriceList]:
    """Return also the prices: those built in if the settings name no usable file."""
    try:
        settings = load_settings(env)
    except SettingsError as error:
        problems = [line.strip() for line in str(error).splitlines() if line.startswith("  ")]
        report.add(fault("settings", f"{problem}.", _TABLE) for problem in problems)
        return None, read_prices(None)
    wrong_key = advice.key_problem(settings)
    report.add(warning("settings", each, _TABLE) for each in advice.warnings(settings) if each != wrong_key)
    if not settings.admin_tokens:
        words = "ADMIN_TOKENS is not set here: admin requests are refused."
        report.add([warning("settings", words, "`openssl rand -hex 32` makes one.")])
    try:
        prices = read_prices(settings.gemini_price_file)
    except SettingsError as error:
        remedy = "docs/spend.md has its form; without it, the built-in prices are used."
        report.add([fault("settings", f"{error}.", remedy)])
        return settings, read_prices(None)
    report.add([ok("settings", "Every setting is valid.")])
    return settings, prices


async def _examine_database(
    connection: Connection, report: ShownOnce, settings: Settings | None, *, live: bool
) -> str | None:
    """Check the database itself, have it send a webhook, and return where it sends them, if that is known."""
    schema = await database.check_schema(connection)
    report.add(schema)
    if any(check.level is Level.FAULT for check in schema):
        return None
    facts = await database.collect(connection)
    url = facts.vault.get(URL_NAME)
    secrets = [secret.get_secret_value() for secret in settings.webhook_secrets] if settings else []
    found = [
        *_check_vault_extension(facts),
        *database.check_facts(facts),
        *network.check_vault(facts.vault, secrets),
        *keys.check_keys(facts.keys),
    ]
    report.add(found)
    status = check_installation(facts.status, settings.sweep_interval_sec if settings else _SWEEP_INTERVAL_S)
    report.add(status)
    report.add(_list_sound_parts([*schema, *found, *status], facts))
    report.add([network.check_clock("the database", facts.now)])
    if live:
        model, base_url = (settings.gemini_model, settings.gemini_base_url) if settings else (_MODEL, None)
        report.add(await keys.ask_google(facts.keys, model, base_url))
    report.add(await network.try_webhooks(connection, facts))
    return url


def _check_vault_extension(facts: database.DatabaseFacts) -> list[Check]:
    if "supabase_vault" in facts.row["extensions"]:
        return []
    words = "Vault (the extension supabase_vault) is not enabled: webhooks cannot be signed."
    return [shared(Level.FAULT, Finding(Code.WEBHOOK_NOT_SET_UP, words, SET_UP_WEBHOOKS))]


def _list_sound_parts(found: Iterable[Check], facts: database.DatabaseFacts) -> list[Check]:
    """A line for each part of the database that nothing was found about."""
    sound = {
        "database": f"The application's tables and the schema fit this version ({facts.status.migration}).",
        "grants": "Only service_role may call leadhook.",
        "triggers": "Every trigger of leadhook is present and enabled.",
        "webhooks": f"The database sends webhooks to {without_credentials(facts.vault.get(URL_NAME, ''))}.",
        "keys": f"{amount(len(facts.keys), 'key')}, well-formed and stored once.",
        "leads": "No lead waits longer than it should.",
    }
    unsound = {check.about for check in found}
    return [ok(about, sentence) for about, sentence in sound.items() if about not in unsound]
