"""Whether the service can do its work now, in words, for people and alerts: cheap to ask, and quick."""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import anyio

from leadhook.domain.moment import duration_words
from leadhook.domain.standing.words import count_words, resume_command
from leadhook.engine.health import Health
from leadhook.store import RestingKey, Status, StoreError

TRY_KEYS_AGAIN: Final = (
    "Fix what Google says, then `update public.gemini_api set api_key = api_key;` has every key tried again"
)
INSTALL_WEBHOOKS: Final = "Run `leadhook webhooks install --url https://YOUR-SERVICE/webhooks/leads`."
FRESH_S: Final = 5.0
"""For how long an answer of the database is told again."""
PATIENCE_S: Final = 2.0
SLACK_S: Final = 60.0
"""How much later than SWEEP_INTERVAL_SEC an idle service's sweep may come."""
UNCLAIMED_S: Final = 10.0
"""A service with a free slot claims within milliseconds."""
_PARTIAL: Final = ("pause", "budget")
"""A service is ready although these hold back the leads of one user."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong with the installation.

    Attributes:
        cause: its name, the same wherever it is found.
        sentence: what it is, and what it means for leads.
        remedy: what to run or do.
    """

    cause: str
    sentence: str
    remedy: str

    def __str__(self) -> str:
        """Both."""
        return f"{self.sentence} {self.remedy}"


@dataclass(frozen=True, slots=True)
class Troubles:
    """What the database lacks: `reasons` keep leads back, `warnings` do not but should be known."""

    reasons: tuple[Trouble, ...]
    warnings: tuple[Trouble, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What stands in the way (`reasons`), and what does not but should be known (`warnings`)."""

    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


class Readiness:
    """Collects what the engine, the settings and the database say."""

    def __init__(
        self,
        *,
        status: Callable[[], Awaitable[Status]],
        engine: Callable[[], Health],
        problems: Sequence[str] = (),
        warnings: Sequence[str] = (),
        more_warnings: Callable[[], Sequence[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._engine = engine
        self._problems = tuple(problems)
        self._warnings = tuple(warnings)
        self._more_warnings = more_warnings
        self._clock = clock
        self._asking = anyio.Lock()
        self._asked_at: float | None = None
        self._database = Findings((), ())

    async def check(self) -> Findings:
        """Everything that is known now; at most one question to the database in 5 s, for at most 2 s."""
        async with self._asking:
            if self._asked_at is None or self._clock() - self._asked_at >= FRESH_S:
                self._database = await self._ask()
                self._asked_at = self._clock()
        engine = judge_engine(self._engine())
        # Both tell of the same trouble when nobody answers; the engine knows since when.
        database = (reason for reason in self._database.reasons if not any(told.startswith(reason) for told in engine))
        reasons = (*self._problems, *engine, *database)
        warnings = (
            warning
            for warning in (*self._warnings, *self._more_warnings(), *self._database.warnings)
            if warning not in reasons
        )
        return Findings(reasons, tuple(warnings))

    def troubles(self) -> tuple[str, ...]:
        """What keeps this process from taking leads, without asking the database."""
        return judge_engine(self._engine())

    async def _ask(self) -> Findings:
        try:
            with anyio.fail_after(PATIENCE_S):
                found = judge_database(await self._status())
                return Findings(tuple(map(str, found.reasons)), tuple(map(str, found.warnings)))
        except TimeoutError:
            return Findings((f"Supabase did not answer within {PATIENCE_S:g} s.",), ())
        except StoreError as error:
            return Findings((_sentence(error.reason),), ())


def judge_database(status: Status) -> Troubles:
    """What a database that answers still lacks."""
    gates = judge_gates(status)
    warnings = [*gates.warnings]
    missing = sorted(table for table, there in status.triggers.items() if not there)
    if missing:
        words = (
            f"Changes of {', '.join(missing)} are not told of by our triggers; leads wait for the sweep or a dashboard "
            "webhook."
        )
        warnings.append(Trouble("triggers", words, INSTALL_WEBHOOKS))
    elif status.ring.vault_error is not None:
        words = (
            f"Vault can't be read (SQLSTATE {status.ring.vault_error}), so the database can't ring; leads wait for the "
            "sweep."
        )
        remedy = f"{INSTALL_WEBHOOKS.removesuffix('.')}, which replaces what can't be decrypted."
        warnings.append(Trouble("ring", words, remedy))
    elif not (status.ring.url_set and status.ring.secret_set and status.ring.pg_net):
        words = "The database can't ring: pg_net, the URL or the secret is missing."
        warnings.append(Trouble("ring", words, INSTALL_WEBHOOKS))
    if held := status.jobs.get("held", 0):
        verb = "is" if held == 1 else "are"
        words = f"{count_words(held, 'lead')} from before the installation {verb} held back until released."
        warnings.append(Trouble("held", words, "See `leadhook backlog status`, then `leadhook backlog release`."))
    return Troubles((*_judge_keys(status), *gates.reasons), tuple(warnings))


def _judge_keys(status: Status) -> Iterator[Trouble]:
    keys = status.keys
    if keys.total == 0:
        words = "public.gemini_api holds no API key, or can't be read: no lead is claimed."
        yield Trouble("keys", words, "Add one: `insert into public.gemini_api (api_key) values ('…');`.")
    elif keys.healthy == 0:
        again = f" The next one returns at {_moment(keys.next_return_at)}." if keys.next_return_at else ""
        each = "".join(f" {_describe_key(key)}" for key in status.parked_keys)
        words = f"No Gemini key is usable: {keys.cooling} rest and {keys.disabled} are refused by Google.{again}{each}"
        remedy = (
            "Wait, or add a key of another Google project to public.gemini_api."
            if keys.next_return_at
            else f"{TRY_KEYS_AGAIN}."
        )
        yield Trouble("keys", words, remedy)


def judge_work(status: Status, sweep_interval_s: float) -> Iterator[Trouble]:
    """Whether a service works here, asked of the database: an idle one shows itself by its sweep only.

    Args:
        status: what the database says.
        sweep_interval_s: SWEEP_INTERVAL_SEC of the service.
    """
    newest = min(status.workers, key=lambda worker: worker.seen_ms, default=None)
    start = "Start one: `leadhook serve`. If one runs, GET /ready says what keeps it from claiming."
    if newest is None:
        yield Trouble("worker", "No service has claimed or swept here yet: leads wait.", start)
        return
    if newest.seen_ms > (sweep_interval_s + SLACK_S) * 1000:
        words = f"No service has claimed or swept for {duration_words(newest.seen_ms)}: leads wait."
        yield Trouble("worker", words, start)
        return
    # Without a key the claims stop, too, and that is told by itself.
    waiting_ms = 0 if status.working or not status.keys.healthy else status.unclaimed_ms or 0
    claimed_ms = min((worker.claimed_ms for worker in status.workers if worker.claimed_ms is not None), default=None)
    if waiting_ms > UNCLAIMED_S * 1000 and (claimed_ms is None or claimed_ms > UNCLAIMED_S * 1000):
        last = "no claim has succeeded"
        if claimed_ms is not None:
            last = f"the last successful claim was {duration_words(claimed_ms)} ago"
        words = f"Leads have waited for {duration_words(waiting_ms)}, and {last}."
        remedy = "GET /ready of the service says what keeps it from claiming; if none runs: `leadhook serve`."
        yield Trouble("worker", words, remedy)


def judge_all(status: Status, sweep_interval_s: float) -> Troubles:
    """All that keeps any lead back, for an operator: pauses and budgets of one user too."""
    found = judge_database(status)
    partial = tuple(warning for warning in found.warnings if warning.cause in _PARTIAL)
    rest = tuple(warning for warning in found.warnings if warning.cause not in _PARTIAL)
    return Troubles((*found.reasons, *partial, *judge_work(status, sweep_interval_s)), rest)


def judge_gates(status: Status) -> Troubles:
    """What holds leads back on purpose: a reason where it is all of them."""
    reasons: list[Trouble] = []
    warnings: list[Trouble] = []
    for pause in status.pauses:
        what = f"User {pause.user_id}" + (f", tag {pause.tag}," if pause.tag is not None else "")
        what = "Everything" if pause.user_id is None else what
        why = f": {pause.reason}" if pause.reason else ""
        words = _sentence(f"{what} is paused since {_moment(pause.paused_at)} by {pause.actor}{why}")
        found = reasons if pause.user_id is None else warnings
        found.append(Trouble("pause", words, f"To end it: `{resume_command(pause.user_id, pause.tag)}`."))
    for budget in status.budgets:
        whose = "of all users" if budget.user_id is None else f"of user {budget.user_id}"
        found = reasons if budget.user_id is None else warnings
        raising = "" if budget.user_id is None else f" --user {budget.user_id}"
        remedy = f"Raise it: `leadhook budget set DOLLARS{raising}`."
        if budget.too_small:
            words = f"The budget {whose}, ${budget.daily_usd:g} a day, is less than one lead may cost."
            found.append(Trouble("budget", words, remedy))
        elif budget.spent:
            words = f"The budget {whose}, ${budget.daily_usd:g} a day, is spent: leads wait for midnight UTC."
            found.append(Trouble("budget", words, remedy))
    return Troubles(tuple(reasons), tuple(warnings))


def judge_engine(health: Health) -> tuple[str, ...]:
    """What keeps the engine from its work."""
    if health.draining:
        return ("The service is shutting down.",)
    if health.fault is None:
        return () if health.running else ("The engine does not run.",)
    since = f" Since {_moment(health.since)}." if health.since else ""
    return (f"{_sentence(health.fault)}{since}",)


def _describe_key(key: RestingKey) -> str:
    until = f"rests until {_moment(key.until)}" if key.until else "is not used until its row in gemini_api changes"
    return _sentence(f"Key {key.fingerprint} {until}: {key.reason or 'no reason is known'}")


def _moment(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:].rstrip('.')}."
