"""Whether the service can do its work now, in words, for people and alerts: cheap to ask, and quick."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import anyio

from leadhook.engine.health import Health
from leadhook.store import RestingKey, Status, StoreError

FRESH_S: Final = 5.0
"""For how long an answer of the database is told again."""
PATIENCE_S: Final = 2.0
COUNTED_UP_TO: Final = 1000
"""The database stops counting there."""


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
        key_problem: str | None = None,
        warnings: Sequence[str] = (),
        more_warnings: Callable[[], Sequence[str]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._engine = engine
        self._key_problem = key_problem
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
        own = [self._key_problem] if self._key_problem else []
        engine = judge_engine(self._engine())
        # Both tell of the same trouble when nobody answers; the engine knows since when.
        database = (reason for reason in self._database.reasons if not any(told.startswith(reason) for told in engine))
        reasons = (*own, *engine, *database)
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
                return judge_database(await self._status())
        except TimeoutError:
            return Findings((f"Supabase did not answer within {PATIENCE_S:g} s.",), ())
        except StoreError as error:
            return Findings((_sentence(error.reason),), ())


def judge_database(status: Status) -> Findings:
    """What a database that answers still lacks."""
    reasons: list[str] = []
    warnings: list[str] = []
    keys = status.keys
    if keys.total == 0:
        reasons.append("public.gemini_api holds no API key, or can't be read: add one.")
    elif keys.healthy == 0:
        again = f" The next one returns at {_moment(keys.next_return_at)}." if keys.next_return_at else ""
        each = "".join(f" {_describe_key(key)}" for key in status.parked_keys)
        reasons.append(
            f"No Gemini key is usable: {keys.cooling} rest and {keys.disabled} are refused by Google.{again}{each}"
        )
    gates = judge_gates(status)
    reasons.extend(gates.reasons)
    warnings.extend(gates.warnings)
    missing = sorted(table for table, there in status.triggers.items() if not there)
    if missing:
        warnings.append(
            f"Changes of {', '.join(missing)} are not told of by our triggers; leads wait for the sweep or a dashboard "
            "webhook. Run `leadhook webhooks install`."
        )
    elif status.ring.vault_error is not None:
        warnings.append(
            f"Vault can't be read (SQLSTATE {status.ring.vault_error}), so the database can't ring and leads wait for "
            "the sweep. Run `leadhook webhooks install`, which replaces what can't be decrypted."
        )
    elif not (status.ring.url_set and status.ring.secret_set and status.ring.pg_net):
        warnings.append(
            "The database can't ring: pg_net, the URL or the secret is missing. Run `leadhook webhooks install`."
        )
    if held := status.jobs.get("held", 0):
        count = f"{held} or more" if held >= COUNTED_UP_TO else f"{held}"
        warnings.append(f"{count} leads from before the installation are held back until they are released.")
    return Findings(tuple(reasons), tuple(warnings))


def judge_gates(status: Status) -> Findings:
    """What holds leads back on purpose: a reason where it is all of them."""
    reasons: list[str] = []
    warnings: list[str] = []
    for pause in status.pauses:
        what = f"User {pause.user_id}" + (f", tag {pause.tag}," if pause.tag is not None else "")
        what = "Everything" if pause.user_id is None else what
        why = f": {pause.reason}" if pause.reason else ""
        found = reasons if pause.user_id is None else warnings
        found.append(_sentence(f"{what} is paused since {_moment(pause.paused_at)} by {pause.actor}{why}"))
    for budget in status.budgets:
        whose = "of all users" if budget.user_id is None else f"of user {budget.user_id}"
        found = reasons if budget.user_id is None else warnings
        if budget.too_small:
            found.append(f"The budget {whose}, ${budget.daily_usd:g} a day, is less than one lead may cost: raise it.")
        elif budget.spent:
            found.append(
                f"The budget {whose}, ${budget.daily_usd:g} a day, is spent: leads wait for midnight UTC or a higher "
                "budget."
            )
    return Findings(tuple(reasons), tuple(warnings))


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
