"""The order of the questions: each is asked only where those before it make it worth asking."""

import os
from collections.abc import Callable, Mapping
from typing import Final

from leadhook import advice
from leadhook.command_error import CommandError, MisuseError
from leadhook.doctor import database, keys, service, webhooks
from leadhook.doctor.check import Check, Level, fault, ok, skipped, warning
from leadhook.doctor.model import check_model
from leadhook.doctor.shipping import try_log
from leadhook.domain.findings import Code
from leadhook.install.connection import Connection, connect
from leadhook.install.vault import URL_NAME
from leadhook.prices import read_prices
from leadhook.settings import Settings, SettingsError, load_settings

Tell = Callable[[Check], None]
CONNECT = (
    "DATABASE_URL is the direct connection of the database's owner: dashboard, Connect > Direct connection "
    "(or Session pooler where there is no IPv6)."
)
OWNERS: Final = {Code.TRIGGER_MISSING, Code.VAULT_UNREADABLE, Code.WEBHOOK_NOT_SET_UP}
"""Causes that the database's side, where it can be looked at, names more exactly: shown once."""
TABLE = "The README's table has every setting; .env.example too."


async def examine(
    tell: Tell, *, live: bool = False, at: str | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Tell every finding as it is found.

    Args:
        tell: takes each of them.
        live: ask Google about each key.
        at: the service's address; None is where the database sends webhooks.
        env: the environment; None is this process's.
    """
    env = os.environ if env is None else env
    tell = _once(tell)
    settings = _settings(tell, env)
    url = env.get("DATABASE_URL", "").strip()
    if settings is not None:
        _, found = await service.ask_supabase(settings)
        if url:
            found = [finding for finding in found if finding.cause not in OWNERS]
        model = check_model(settings.gemini_model, priced=_priced(settings))
        for finding in [*found, *model, *await try_log(settings)]:
            tell(finding)
    webhook_url = None
    if url:
        try:
            async with connect(url) as connection:
                webhook_url = await examine_database(connection, tell, settings, live=live, at=at)
        except CommandError as error:
            tell(fault("settings" if isinstance(error, MisuseError) else "database", str(error), CONNECT))
    else:
        words = (
            "Not checked, because DATABASE_URL is not set: grants, row level security, indexes, sequences, disabled "
            "triggers, the stored keys, Vault, pg_net, recent webhooks and a webhook sent there and back."
        )
        tell(
            skipped(
                "database", words, "export DATABASE_URL='postgresql://postgres:…@db.PROJECT.supabase.co:5432/postgres'"
            )
        )
    if webhook_url is None:
        for finding in await service.ask_service(at or service.service_url(None, settings)):
            tell(finding)


def _once(tell: Tell) -> Tell:
    """Each cause once, though settings, database, keys and service may all speak of it."""
    seen: set[str] = set()

    def tell_once(finding: Check) -> None:
        names = {name for name in (finding.cause, f"{finding.sentence} {finding.fix}") if name}
        if finding.level is Level.OK or not names & seen:
            seen.update(names)
            tell(finding)

    return tell_once


def _priced(settings: Settings) -> bool:
    try:
        return read_prices(settings.gemini_price_file).price_of(settings.gemini_model) is not None
    except SettingsError:
        return True  # told already


def _settings(tell: Tell, env: Mapping[str, str]) -> Settings | None:
    try:
        settings = load_settings(env)
    except SettingsError as error:
        for line in str(error).splitlines()[1:]:
            tell(fault("settings", f"{line.strip()}.", TABLE))
        return None
    try:
        read_prices(settings.gemini_price_file)
    except SettingsError as error:
        tell(fault("settings", f"{error}.", "docs/spend.md has its form; unset, our own prices count."))
    for sentence in advice.warnings(settings):
        if sentence != advice.key_problem(settings):
            tell(warning("settings", sentence, TABLE))
    if not settings.admin_tokens:
        tell(
            warning(
                "settings",
                "ADMIN_TOKENS is not set here: the admin requests are closed.",
                "openssl rand -hex 32 makes one.",
            )
        )
    tell(ok("settings", "Every setting can be used."))
    return settings


async def examine_database(
    connection: Connection, tell: Tell, settings: Settings | None, *, live: bool, at: str | None
) -> str | None:
    """The database's own side, the service that it sends webhooks to, and a webhook.

    Returns:
        Where it sends webhooks, possibly nothing; None when it can not be asked, and the service was not looked at.
    """
    ground = await database.check_ground(connection)
    for finding in ground:
        tell(finding)
    if any(finding.level != "ok" for finding in ground):
        return None
    facts = await database.collect(connection)
    webhook_url = facts.vault.get(URL_NAME)
    secrets = [secret.get_secret_value() for secret in settings.webhook_secrets] if settings else []
    stood = webhooks.check_vault(facts.vault, secrets, facts.vault_error)
    pg_net = webhooks.check_pg_net(facts)
    for finding in (
        *database.check_schema(facts.row),
        *database.check_indexes(facts.missing_indexes),
        *database.check_sequences(facts.sequences),
        *database.check_doors(facts.doors),
        *database.check_triggers(facts.row),
        *stood,
        *pg_net,
        *keys.check_format(facts.keys),
        *database.check_work(facts),
        *service.check_clock("the database", facts.now),
    ):
        tell(finding)
    if live:
        model = settings.gemini_model if settings else "gemini-3.5-flash-lite"
        for finding in await keys.ask_google(facts.keys, model, settings.gemini_base_url if settings else None):
            tell(finding)
    for finding in await service.ask_service(at or service.service_url(webhook_url, settings)):
        tell(finding)
    if not pg_net:
        round_trip = await webhooks.make_round_trip(connection)
        for finding in (*round_trip, *webhooks.check_webhook_deliveries(await database.webhooks(connection))):
            tell(finding)
    return webhook_url or ""
