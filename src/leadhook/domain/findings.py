"""What keeps an installation from processing leads: each finding once, with its code, its sentence and its remedy.

`/ready`, `leadhook status`, `leadhook doctor` and the diagnosis of a lead take their words from here. There are no
queries in this module.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from leadhook.domain.lead_snapshot import WebhookDelivery
from leadhook.domain.phrases import amount, clause, count_words, duration_words, moment, sentence
from leadhook.domain.spend import dollars
from leadhook.domain.status import (
    Budget,
    BudgetStatus,
    HeldSnapshot,
    KeyCounts,
    Pause,
    RestingKey,
    Status,
    WebhookSetup,
)

INSTALL_WEBHOOKS: Final = "leadhook webhooks install --url https://YOUR-SERVICE/webhooks/leads"
CHECK_SERVICE: Final = "Check that the service runs and that the database reaches leadhook_webhook_url (in Vault)."
INSTALL: Final = "leadhook install --url https://YOUR-SERVICE/webhooks/leads"
MIGRATE: Final = "Run `leadhook migrate`."
SET_UP_WEBHOOKS: Final = f"Run `{INSTALL_WEBHOOKS}`."
_WITH_THE_URL: Final = f"Run `{INSTALL_WEBHOOKS}` with the service's URL."
ADD_KEY: Final = "insert into public.gemini_api (api_key) values ('…');"
RESTART_PG_NET: Final = (
    "Start pg_net's worker: `select net.worker_restart();`. If it stops again, restart the database in the dashboard."
)
REMOVE_FOREIGN_CODE: Final = (
    "Find out who added it; change that role's password, and drop the function as its owner with `cascade`. Disabling "
    "and enabling pg_net (dashboard: Database > Extensions) removes everything from its tables."
)
SLACK_S: Final = 60.0
"""How much later than SWEEP_INTERVAL_SEC the sweep of an idle service may start."""
UNCLAIMED_S: Final = 10.0
"""A service with a free slot claims within milliseconds."""


class Code(StrEnum):
    SETTINGS = "settings"
    """A setting, or what the service does with it: the metrics' port, a sink of the log."""
    SHUTTING_DOWN = "shutting_down"
    STARTING = "starting"
    DATABASE_SILENT = "database_silent"
    PAUSED = "paused"
    BUDGET_SPENT = "budget_spent"
    BUDGET_TOO_SMALL = "budget_too_small"
    NO_KEY = "no_key"
    KEYS_REFUSED = "keys_refused"
    KEYS_COOLING = "keys_cooling"
    TRIGGER_MISSING = "trigger_missing"
    VAULT_UNREADABLE = "vault_unreadable"
    WEBHOOK_NOT_SET_UP = "webhook_not_set_up"
    FOREIGN_CODE = "foreign_code"
    OUTBOX_GUARDED = "outbox_guarded"
    LEADS_HELD = "leads_held"
    SNAPSHOT_HELD = "snapshot_held"
    LEADS_DEAD = "leads_dead"
    NO_WORKER = "no_worker"
    WORKER_SILENT = "worker_silent"
    LEADS_UNCLAIMED = "leads_unclaimed"
    SCHEMA_OUTDATED = "schema_outdated"
    SCHEMA_NEWER = "schema_newer"


PARTIAL: Final = (Code.PAUSED, Code.BUDGET_SPENT, Code.BUDGET_TOO_SMALL)
"""The service is ready even if one of these applies to a single user."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of the installation, or the state of one lead."""

    code: str
    """A `Code`, a `DiagnosisCode`, or that of a failure of the engine or of the database."""
    sentence: str
    """The problem, and what it means for leads."""
    remedy: str = ""
    """The command to run or the step to take."""

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}".strip()


@dataclass(frozen=True, slots=True)
class Findings:
    """Reasons keep leads from being processed; warnings do not, but need attention."""

    reasons: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()


def check_status(status: Status) -> Findings:
    """Find what keeps a service from working, from the database's status."""
    admission = check_admission(status)
    warnings = [*admission.warnings, *check_webhooks(status.missing_triggers, status.webhook_setup)]
    if held := status.jobs.get("held", 0):
        warnings.append(leads_held(held))
    if status.held_snapshot:
        warnings.append(snapshot_held(status.held_snapshot))
    keys = check_keys(status.keys, status.parked_keys)
    return Findings((*([keys] if keys else []), *admission.reasons), tuple(warnings))


def check_everything(status: Status, sweep_interval_s: float) -> Findings:
    """Find everything that keeps any lead waiting, for an operator: pauses and budgets of one user are reasons too."""
    found = check_status(status)
    partial = tuple(warning for warning in found.warnings if warning.code in PARTIAL)
    rest = tuple(warning for warning in found.warnings if warning.code not in PARTIAL)
    return Findings((*found.reasons, *partial, *check_workers(status, sweep_interval_s)), rest)


def check_admission(status: Status) -> Findings:
    """Check pauses and budgets: a reason if they stop every lead, a warning if they stop those of one user, or some."""
    paused = [(pause.user_id is None, describe_pause(pause)) for pause in status.pauses]
    spent = [
        (budget.user_id is None and not (budget.too_small and budget.left_usd > 0), finding)
        for budget in status.budgets
        if (finding := check_budget(budget))
    ]
    every = [*paused, *spent]
    return Findings(
        reasons=tuple(finding for stops_all, finding in every if stops_all),
        warnings=tuple(finding for stops_all, finding in every if not stops_all),
    )


def check_workers(status: Status, sweep_interval_s: float) -> Iterator[Finding]:
    """Check that a service is running, from its calls to the database. An idle service only sweeps."""
    newest = min(status.workers, key=lambda worker: worker.seen_ms, default=None)
    if newest is None:
        yield _no_worker(Code.NO_WORKER, "No service has claimed or swept yet: leads wait.")
    elif newest.seen_ms > (sweep_interval_s + SLACK_S) * 1000:
        words = f"No service has claimed or swept for {duration_words(newest.seen_ms)}: leads wait."
        yield _no_worker(Code.WORKER_SILENT, words)
    # Without a healthy key, claims stop too; that is a separate finding.
    elif status.keys.healthy and not status.working and (status.unclaimed_ms or 0) > UNCLAIMED_S * 1000:
        claims = (worker.claimed_ms for worker in status.workers if worker.claimed_ms is not None)
        claimed_ms = min(claims, default=None)
        if claimed_ms is None or claimed_ms > UNCLAIMED_S * 1000:
            yield leads_unclaimed(status.unclaimed_ms or 0, claimed_ms)


def check_webhooks(missing_triggers: Sequence[str], setup: WebhookSetup) -> Iterator[Finding]:
    """Check that the database notes each change and sends a webhook for it; of the webhook, report the first fault."""
    if missing_triggers:
        yield triggers_missing(missing_triggers)
    elif setup.vault_error is not None:
        yield vault_unreadable(setup.vault_error)
    elif setup.foreign_code:
        yield foreign_code(setup.foreign_code)
    elif not setup.complete:
        yield webhooks_not_set_up(setup)
    if setup.outbox_guards:
        yield outbox_guarded(setup.outbox_guards)


def check_keys(keys: KeyCounts, resting: Sequence[RestingKey], now: datetime | None = None) -> Finding | None:
    """Explain why no Gemini key is usable; None if one is. With `now`, times are also shown relative to it."""
    if keys.healthy:
        return None
    if not keys.total:
        return no_key()
    each = "".join(f" {_describe_key(key, now)}" for key in resting)
    if keys.next_return_at is None:
        words = f"No Gemini key is usable: none of the {keys.total} can be sent to Google.{each}"
        remedy = "Correct the rows in public.gemini_api, or add another key: a changed row is tried at once."
        return Finding(Code.KEYS_REFUSED, words, remedy)
    again = moment(keys.next_return_at, now)
    words = f"No Gemini key is usable: {keys.cooling} cooling down, {keys.disabled} that cannot be sent."
    return Finding(
        Code.KEYS_COOLING,
        f"{words} The next one is available again at {again}.{each}",
        "Wait, or fix in Google's console what it reports: each key is tried again at its time, and at once after "
        "`update public.gemini_api set api_key = api_key;`. A key of another Google project is used at once.",
    )


def check_migrations(applied: Collection[str], ours: Collection[str]) -> Finding | None:
    if missing := sorted(set(ours) - set(applied)):
        words = f"The database is older than this program: it lacks {amount(len(missing), 'migration')}, the first is "
        return Finding(Code.SCHEMA_OUTDATED, f"{words}{missing[0]}.", MIGRATE)
    if newer := sorted(set(applied) - set(ours)):
        words = f"The database is newer than this program: it has {amount(len(newer), 'migration')} more, the last is "
        return Finding(Code.SCHEMA_NEWER, f"{words}{newer[-1]}.", "Use the version of leadhook that migrated it.")
    return None


def describe_delivery(webhook: WebhookDelivery) -> str:
    """Describe what happened to a webhook; completes a sentence that begins with the webhook."""
    if not webhook.sent:
        return f"could not be handed to pg_net: {clause(webhook.error)}"
    if webhook.queued:
        return "is still in pg_net's queue because its worker does not run"
    if webhook.error or webhook.timed_out:
        return f"did not arrive; pg_net reports: {clause(webhook.error or 'timed out')}"
    if webhook.status_code is not None:
        return _describe_status(webhook.status_code)
    return "has no answer from pg_net, which forgets its queue when the database restarts"


def _describe_status(code: int) -> str:
    if code == HTTPStatus.ACCEPTED:
        return "was accepted by the service (HTTP 202)"
    if code < HTTPStatus.MULTIPLE_CHOICES:
        return f"was answered by another server (HTTP {code}): leadhook answers 202"
    if _is_redirect(code):
        return f"was redirected (HTTP {code}): pg_net repeats it as a GET without a body"
    return f"was refused by the service (HTTP {code})"


def fix_delivery(webhook: WebhookDelivery) -> str:
    error = (webhook.error or "").lower()
    if webhook.queued:
        return RESTART_PG_NET
    if not webhook.sent or "resolve" in error:
        return _WITH_THE_URL
    if webhook.status_code is not None:
        return _fix_status(webhook.status_code)
    if webhook.timed_out or "timeout" in error:
        return 'Check that the service is neither asleep nor overloaded. On Fly.io, set auto_stop_machines = "off".'
    return CHECK_SERVICE


def _fix_status(code: int) -> str:
    if code == HTTPStatus.UNAUTHORIZED:
        return f"Give the service the database's secret: `{INSTALL_WEBHOOKS}` prints the line for WEBHOOK_SECRETS."
    if _is_redirect(code):
        return f"Run `{INSTALL_WEBHOOKS}` with the URL that answers without a redirect: https:// instead of http://."
    if code < HTTPStatus.MULTIPLE_CHOICES or code == HTTPStatus.NOT_FOUND:
        return _WITH_THE_URL
    return "See GET /ready of the service, and its log."


def _is_redirect(code: int) -> bool:
    """pg_net follows a redirect with a GET, which the service answers with 405."""
    return HTTPStatus.MULTIPLE_CHOICES <= code < HTTPStatus.BAD_REQUEST or code == HTTPStatus.METHOD_NOT_ALLOWED


def describe_pause(pause: Pause, now: datetime | None = None) -> Finding:
    why = f": {clause(pause.reason)}" if pause.reason else ""
    what = "All work" if pause.user_id is None else f"The work of {pause}"
    words = f"{what} has been paused since {moment(pause.paused_at, now)} by {pause.actor}{why}."
    return Finding(Code.PAUSED, words, f"`leadhook resume{pause.options}` ends the pause.")


def check_budget(budget: BudgetStatus) -> Finding | None:
    if budget.too_small:
        return budget_too_small(budget)
    return budget_spent(budget) if budget.spent else None


def describe_budget(budget: BudgetStatus) -> str:
    """Return what is left of a budget, and what its leads wait for if it is not enough."""
    words = f"{budget.whose}: {dollars(budget.daily_usd)} a day, {dollars(max(budget.left_usd, 0))} left"
    finding = check_budget(budget)
    return finding.sentence if finding else words


def budget_spent(budget: Budget, now: datetime | None = None) -> Finding:
    """Nothing is left of a day's budget, or less than a lead may cost."""
    needs, until = "", "midnight UTC"
    if budget.needed_usd and budget.left_usd > 0:
        needs = f", and a lead may cost up to {dollars(budget.needed_usd)}"
    if now is not None:
        until = moment(datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC), now)
    words = (
        f"The daily budget of ${budget.daily_usd:g} for {budget.whose} is spent ({dollars(max(budget.left_usd, 0))} "
        f"left{needs}): leads wait until {until}."
    )
    return Finding(Code.BUDGET_SPENT, words, _raise_budget(budget))


def budget_too_small(budget: Budget) -> Finding:
    words = (
        f"The daily budget of ${budget.daily_usd:g} for {budget.whose} is less than one lead may cost: leads wait "
        "until it is raised."
    )
    return Finding(Code.BUDGET_TOO_SMALL, words, _raise_budget(budget))


def no_key() -> Finding:
    words = "No Gemini key was found: public.gemini_api is empty or cannot be read, so no lead is claimed."
    return Finding(Code.NO_KEY, words, f"Add one: `{ADD_KEY}` The service uses it at once.")


def triggers_missing(tables: Iterable[str]) -> Finding:
    named = ", ".join(f"public.{table}" for table in tables)
    words = f"A trigger of leadhook is missing or disabled on {named}. Changes there wait for the sweep."
    return Finding(Code.TRIGGER_MISSING, words, SET_UP_WEBHOOKS)


def triggers_disabled(triggers: Sequence[tuple[str, str]]) -> Finding:
    """Triggers, by name and table, that are present but disabled."""
    named = ", ".join(f"{name} on public.{table}" for name, table in triggers)
    words = f"A trigger of leadhook is disabled: {named}. Changes there wait for the sweep."
    enable = " ".join(f"alter table public.{table} enable trigger {name};" for name, table in triggers)
    return Finding(Code.TRIGGER_MISSING, words, enable)


def webhooks_not_set_up(setup: WebhookSetup) -> Finding:
    parts = {
        "the extension pg_net is not enabled": not setup.pg_net,
        "Vault has no URL (leadhook_webhook_url)": not setup.url_set,
        "Vault has no secret (leadhook_webhook_secret)": not setup.secret_set,
    }
    missing = " and ".join(words for words, is_missing in parts.items() if is_missing)
    words = f"The database cannot send webhooks because {missing}. {_SWEEP}"
    return Finding(Code.WEBHOOK_NOT_SET_UP, words, SET_UP_WEBHOOKS)


def vault_unreadable(sqlstate: str) -> Finding:
    words = f"The database cannot send webhooks because Vault cannot be read (SQLSTATE {sqlstate}). {_SWEEP}"
    return Finding(Code.VAULT_UNREADABLE, words, f"Run `{INSTALL_WEBHOOKS}`; it replaces what cannot be decrypted.")


def foreign_code(found: Sequence[str]) -> Finding:
    """Another role added triggers to pg_net's queue, which would run with the rights of the database's owner."""
    words = f"No webhook is sent, because foreign code is attached to net.http_request_queue: {', '.join(found)}. "
    return Finding(Code.FOREIGN_CODE, words + _SWEEP, REMOVE_FOREIGN_CODE)


def outbox_guarded(found: Sequence[str]) -> Finding:
    """Someone added to the outbox what may refuse a row; the application's write goes on without it."""
    words = f"leadhook.outbox has objects that leadhook did not add: {', '.join(found)}. "
    words += "Changes that these refuse are not recorded: their leads wait for the sweep."
    return Finding(Code.OUTBOX_GUARDED, words, "Drop them: leadhook.outbox belongs to leadhook alone.")


def leads_held(number: int) -> Finding:
    verb = "is" if number == 1 else "are"
    words = f"{count_words(number, 'lead')} from before the installation {verb} held until released."
    return Finding(Code.LEADS_HELD, words, "See `leadhook backlog status`, then run `leadhook backlog release`.")


def snapshot_held(held: HeldSnapshot) -> Finding:
    """An old snapshot slows every call down, more with every lead that is processed while it is held."""
    pid = held.pid and f"pid {held.pid}"
    role = held.role and f"role {held.role}"
    details = (held.name, pid, role, held.state)
    who = f"The {held.held_by} {', '.join(detail for detail in details if detail)}".strip()
    since = f" for {duration_words(held.held_ms)}" if held.held_ms is not None else ""
    words = f"{who} has held a snapshot{since}: Postgres cannot remove old row versions, and leadhook slows down."
    remedy = {
        "session": f"End its transaction: `select pg_terminate_backend({held.pid});`.",
        "prepared transaction": "Run `commit prepared` or `rollback prepared` with its name.",
    }.get(held.held_by, "Let its subscriber catch up, or drop the slot: `select pg_drop_replication_slot('NAME');`.")
    return Finding(Code.SNAPSHOT_HELD, words, remedy)


def leads_dead(number: int) -> Finding:
    words = f"{count_words(number, 'lead')} failed and will not be retried."
    remedy = "Run `leadhook explain LEAD_ID` for the reason; fix the cause, then run `leadhook replay --state dead`."
    return Finding(Code.LEADS_DEAD, words, remedy)


def leads_unclaimed(unclaimed_ms: float, claimed_ms: float | None) -> Finding:
    """A claim could return something, but no claim is sent or none succeeds."""
    last = "no claim has succeeded"
    if claimed_ms is not None:
        last = f"the last successful claim was {duration_words(claimed_ms)} ago"
    words = f"Leads have waited for {duration_words(unclaimed_ms)}, and {last}."
    return _no_worker(Code.LEADS_UNCLAIMED, words)


_SWEEP: Final = "Leads wait for the sweep."


def _no_worker(code: Code, words: str) -> Finding:
    remedy = "If a service runs, its GET /ready says why it does not claim; otherwise start one: `leadhook serve`."
    return Finding(code, words, remedy)


def _raise_budget(budget: Budget) -> str:
    return f"`leadhook budget set DOLLARS{budget.whose.options}` raises it, and leads are claimed again at once."


def _describe_key(key: RestingKey, now: datetime | None) -> str:
    until = f"rests until {moment(key.until, now)}" if key.until else "is not used until its row in gemini_api changes"
    return sentence(f"Key {key.fingerprint} {until}: {key.reason or 'no reason was given'}")
