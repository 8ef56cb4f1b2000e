"""One leased lead: what this process knows of it, and what it writes about it."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio

from leadhook.domain.failure import Failure
from leadhook.domain.job import ApiKey, ClaimedLead, LeaseOutcome, Refusal, Release, Renewal, Result, Timings
from leadhook.domain.results import Checkpoint, MessageFailure, Usage
from leadhook.engine.timing import Wakeup

LeaseName = tuple[str, int]
"""`(lead_id, fence)`. The same lead under an older fence is another lease."""


@dataclass(eq=False)
class Lease:
    """One lead, from the claim's reply to the database's final answer about the lease.

    Times are seconds on the event loop's clock.
    """

    claimed: ClaimedLead
    received_at: float
    """When the reply to the claim arrived."""
    confirmed_at: float
    """When the request that last confirmed the lease was sent."""
    start_limit_s: float
    renew_s: float
    heard_at: float = -math.inf
    """When the renewal was sent that the database last answered, with a locked row too."""
    give_up_after_s: float = math.inf
    """A lead that failed for so long is dead, however little is known about why."""
    max_attempts: float = math.inf
    checkpoint: Checkpoint | None = None
    """Model answers paid for by this lease or an earlier one."""
    stored_checkpoint: Checkpoint | None = None
    """The part of it that the database has."""
    stored_called: bool = False
    """Whether the database knows that a model call started."""
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    """Spent by this lease so far; None if the price is unknown."""
    first_call_ms: int | None = None
    key_wait_ms: float = 0.0
    """The part of `first_call_ms` spent waiting for another lead's call to prove a key."""
    called_at: float = -math.inf
    """When its last model call started."""
    model_ms: float = 0.0
    key: ApiKey | None = None
    """The key used last."""
    step_called_at: float = math.inf
    """When the first call of its last step started."""
    keys_refused: int = 0
    """Keys that failed for its last step, one after the other."""
    probe: bool = False
    """Whether it was claimed while the circuit breaker was open."""
    working: bool = False
    """Whether it has a slot; without one, it waits for one, or to be written."""
    began_at: float = math.inf
    """When it got the slot."""
    writing: bool = False
    """Whether a save or release of it was sent whose outcome is not known yet."""
    lost: bool = False
    failures: int = 0
    """How often writing it alone has failed."""
    failed_at: float | None = None
    """When that first happened, or when a call with it first took too long."""
    strikes: int = 0
    """How many of these failures came while other leads could be written."""
    failure: Failure | None = None
    """Why its last attempt ended without an answer."""
    message_failure: MessageFailure | None = None
    """Why the score is saved without a message."""
    refusal: Refusal | None = None
    """Why the answer will not be written to the application."""
    release: Release | None = None
    """How it ends without a result. None: it will be saved."""
    outcome: LeaseOutcome | None = None
    """The database's final answer, with its reason; `ended` is set then."""
    outcome_reason: str | None = None
    ended: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    news: Wakeup = field(default_factory=Wakeup)
    """Set when the lease was confirmed, when it got a slot or gets none, and when a shutdown began."""

    @property
    def name(self) -> LeaseName:
        return self.claimed.lead_id, self.claimed.fence

    @property
    def key_fingerprint(self) -> str | None:
        return self.key.fingerprint if self.key else None

    @property
    def failing_since(self) -> float | None:
        """When its model calls began to fail without blame, by the event loop's clock; None: they did not."""
        return None if self.claimed.failing_ms is None else self.received_at - self.claimed.failing_ms / 1000

    @property
    def paid_before(self) -> int:
        """Attempts of this run that were spent on the step it is at."""
        spent = self.claimed.attempts
        return spent if self.checkpoint is None else max(0, spent - self.checkpoint.attempts_before)

    @property
    def overdue_at(self) -> float:
        """When half its time is over without a renewal; by default a lease lasts three times `renew_s`."""
        return max(self.heard_at, self.confirmed_at) + 1.5 * self.renew_s

    @property
    def called(self) -> bool:
        return self.called_at > -math.inf

    def renewal(self, *, with_news: bool = True) -> Renewal:
        """Without news it does not contain what was bought."""
        news = self.checkpoint if with_news and self.checkpoint is not self.stored_checkpoint else None
        return Renewal(**self._identity, checkpoint=news, called=self.called)

    def result(self) -> Result:
        """The finished answer.

        Raises:
            ValueError: there is none.
        """
        if self.checkpoint is None:
            raise ValueError("a lead without an answer can't be saved")
        return Result(
            **self._identity,
            **self._effort,
            checkpoint=self.checkpoint,
            message_failure=self.message_failure,
            refusal=self.refusal,
        )

    def give_back(
        self,
        outcome: Literal["retry", "returned", "dead"],
        code: str,
        reason: str,
        delay_ms: int = 0,
        *,
        failing: bool = False,
        decide_after_ms: int | None = None,
    ) -> None:
        """End it without a result: it is released instead of saved."""
        self.release = Release(
            **self._identity,
            **self._effort,
            outcome=outcome,
            error_code=code,
            reason=reason,
            delay_ms=delay_ms,
            failing=failing,
            decide_after_ms=decide_after_ms,
            checkpoint=self.checkpoint,
        )

    def drop_text(self) -> None:
        """Forget what was bought, because it does not reach the database, and how often writing it has failed."""
        self.checkpoint = None
        if self.release is not None:
            self.release = self.release.model_copy(update={"checkpoint": None})
        self.writing, self.failures, self.failed_at, self.strikes = False, 0, None, 0

    @property
    def _identity(self) -> dict[str, Any]:
        return {"lead_id": self.claimed.lead_id, "fence": self.claimed.fence, "token": self.claimed.token}

    @property
    def _effort(self) -> dict[str, Any]:
        timing = Timings(
            first_call_ms=self.first_call_ms, key_wait_ms=round(self.key_wait_ms), model_ms=round(self.model_ms)
        )
        return {
            "key_fingerprint": self.key_fingerprint,
            "usage": self.usage,
            "cost_usd": self.cost_usd,
            "timing": timing,
        }
