"""A lead in this process's hands, from the claim's reply to the database's last word about its lease."""

import math
from dataclasses import dataclass, field
from typing import Literal

import anyio

from leadhook.domain.job import ClaimedLead, LeaseOutcome, Refusal, Release, Renewal, Result, Timings
from leadhook.domain.results import Checkpoint, Usage
from leadhook.engine.timing import Wakeup

LeaseName = tuple[str, int]
"""`(lead_id, fence)`."""


@dataclass(eq=False)
class HeldLead:
    """What is known here of one lease. Times are of the event loop's clock, in seconds."""

    claimed: ClaimedLead
    received_at: float
    """When the claim's reply arrived."""
    confirmed_at: float
    """When the request was sent that last confirmed the lease."""
    start_limit_s: float
    renew_s: float
    paid: Checkpoint | None = None
    """What was bought, by this lease or an earlier one."""
    stored_paid: Checkpoint | None = None
    """What the database knows of it."""
    stored_called: bool = False
    """The database knows that a model call began."""
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    """What this lease spent so far; None where the price is not known."""
    first_call_ms: int | None = None
    key_wait_ms: float = 0.0
    """Of `first_call_ms`, spent waiting for another lead's call to prove a key."""
    called_at: float = -math.inf
    """When its last model call began."""
    model_ms: float = 0.0
    key_fingerprint: str | None = None
    key_shown: str | None = None
    """The same key as the operator's file shows it."""
    tried: bool = False
    """It was claimed to find out whether the model works again."""
    working: bool = True
    """It has a slot; afterwards it only waits to be written."""
    written: bool = False
    """A save or release of it was sent, and its outcome is not known yet."""
    lost: bool = False
    failures: int = 0
    """How often writing it failed by itself."""
    failed_at: float | None = None
    """When that first happened, or a call with it first took too long."""
    strikes: int = 0
    """How many of these failures came while other leads could be written."""
    refusal: Refusal | None = None
    """Why it is not to be written any more."""
    errand: bool = False
    """A person asked for it."""
    ended: anyio.Event = field(default_factory=anyio.Event)
    """Set when the database has had its last word, which is `outcome`, with the reason that it gave."""
    outcome: LeaseOutcome | None = None
    outcome_reason: str | None = None
    release: Release | None = None
    """How it is to be given back; None: it is to be saved."""
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    news: Wakeup = field(default_factory=Wakeup)
    """Set when the lease was confirmed, or a shutdown began."""

    @property
    def name(self) -> LeaseName:
        """What every write carries."""
        return self.claimed.lead_id, self.claimed.fence

    @property
    def called(self) -> bool:
        """Whether a model call has begun."""
        return self.called_at > -math.inf

    def renewal(self) -> Renewal:
        """The request to keep it, with what the database does not know yet."""
        paid = self.paid if self.paid is not self.stored_paid else None
        return Renewal(lead_id=self.claimed.lead_id, fence=self.claimed.fence, paid=paid, called=self.called)

    def result(self) -> Result:
        """The finished judgement.

        Raises:
            ValueError: nothing was bought.
        """
        if self.paid is None:
            raise ValueError("a lead without an answer can't be saved")
        return Result(
            lead_id=self.claimed.lead_id,
            fence=self.claimed.fence,
            paid=self.paid,
            key_fingerprint=self.key_fingerprint,
            usage=self.usage,
            cost_usd=self.cost_usd,
            timing=self._timing(),
            refusal=self.refusal,
        )

    def give_back(
        self, outcome: Literal["retry", "returned", "dead"], code: str, reason: str, delay_ms: int = 0
    ) -> None:
        """Decide that it ends without a result."""
        self.release = Release(
            lead_id=self.claimed.lead_id,
            fence=self.claimed.fence,
            outcome=outcome,
            error_code=code,
            reason=reason,
            delay_ms=delay_ms,
            paid=self.paid,
            key_fingerprint=self.key_fingerprint,
            usage=self.usage,
            cost_usd=self.cost_usd,
            timing=self._timing(),
        )

    def end(self, outcome: LeaseOutcome, reason: str | None = None) -> None:
        """Keep the database's last word about this lease for whoever waits for it."""
        self.outcome, self.outcome_reason = outcome, reason
        self.ended.set()

    def _timing(self) -> Timings:
        return Timings(
            first_call_ms=self.first_call_ms, key_wait_ms=round(self.key_wait_ms), model_ms=round(self.model_ms)
        )
