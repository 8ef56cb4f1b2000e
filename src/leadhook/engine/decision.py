"""What a failure does to its lead, its key and the service."""

from dataclasses import dataclass
from typing import Literal

from leadhook.domain.backoff import backoff
from leadhook.domain.failure import Failure, FailureClass


@dataclass(frozen=True)
class Decision:
    """How the lead goes back, and who else is concerned."""

    outcome: Literal["retry", "returned", "dead"]
    delay_ms: int = 0


def decide(failure: Failure, attempts: int, *, outage: bool = False) -> Decision:
    """The one place where a failure becomes a consequence.

    Args:
        failure: what happened.
        attempts: how many attempts of this run were spent before.
        outage: nobody's call succeeds, so that this lead proved nothing.
    """
    match failure.kind:
        case FailureClass.KEY:
            return Decision("returned")
        case FailureClass.TRANSIENT if outage:
            return Decision("returned")
        case FailureClass.TRANSIENT:
            return Decision("retry", delay_ms=round(backoff(attempts) * 1000))
        case FailureClass.CONTENT:
            return Decision("dead")
        case FailureClass.CONFIGURATION:
            return Decision("returned")
