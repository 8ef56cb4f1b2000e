"""Who is to blame for a failure: pure rules over evidence. `docs/blame.md` explains them.

One response proves little. What happens to one key or lead while others succeed is its own; what happens to all is
no one's.
"""

import math
import random
from dataclasses import dataclass
from typing import Final, Literal

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.phrases import amount

RESTS_S: Final = (60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0)
"""How long a key rests after its first failure, the second in a row, and so on, while other keys are answered."""
LONE_REST_S: Final = 600.0
"""The longest rest of a key while no other key is answered either: perhaps it is not the key."""

FIRST_PAUSE_S: Final = 2.0
OUTAGE_PAUSE_S: Final = 65.0
"""The longest pause of a lead that fails while no other lead is answered: its failure says nothing about it."""
OWN_PAUSE_S: Final = 600.0
"""The longest pause of a lead that fails while others are answered."""
PAID_PAUSES_S: Final = (2.0, 8.0, 32.0, 128.0)
"""After a paid call without a usable answer, by attempts, while other leads are answered."""
PAID_OUTAGE_PAUSES_S: Final = (2.0, 300.0, 1_500.0, 3_600.0)
"""The same while none is: the attempts outlast an hour in which the model answers no one."""
REFUSED_IN_A_ROW: Final = 3
"""So many different leads, refused with no answer in between, are the installation's fault."""


@dataclass(frozen=True)
class Decision:
    """What becomes of a lead whose model call failed.

    Attributes:
        outcome: as `Release.outcome`.
        evidence: the reason for it, in words.
        delay_s: until the lead is tried again.
        failing: it is not decided yet who is to blame.
    """

    outcome: Literal["retry", "returned", "dead"]
    evidence: str = ""
    delay_s: float = 0.0
    failing: bool = False


def decide(  # noqa: PLR0911 - a table, one line a case
    failure: Failure, attempts: int, *, failing_s: float | None, others_answered: int, give_up_after_s: float
) -> Decision:
    """The one place where a failure becomes a consequence for its lead.

    Args:
        failure: what happened.
        attempts: how many attempts of this run were spent before.
        failing_s: how long the lead has failed; None: this is its first failure.
        others_answered: other leads that were answered by calls begun since then.
        give_up_after_s: a lead that failed for so long is decided.
    """
    if failure.kind == FailureClass.CONTENT:
        return Decision("dead")
    if failure.kind == FailureClass.CONFIGURATION:
        return Decision("returned")
    seen = (
        f"{amount(others_answered, 'other lead')} answered since" if others_answered else "No other lead answered since"
    )
    failing_s = failing_s or 0.0
    if failure.kind == FailureClass.KEY:
        # It may be this lead that makes Google refuse the key, so others go first when the key is tried again.
        return Decision("returned", delay_s=pause_s(failing_s, OUTAGE_PAUSE_S), failing=True)
    own = others_answered > 0
    delay_s = max(pause_s(failing_s, OWN_PAUSE_S if own else OUTAGE_PAUSE_S), min(failure.park_s or 0.0, OWN_PAUSE_S))
    if failure.kind == FailureClass.REFUSED and own:
        return Decision("dead", f"{seen}, so it is this lead.")
    if failing_s >= give_up_after_s and (own or failure.kind == FailureClass.REFUSED):
        return Decision("dead", f"{seen}; it failed for too long.")
    if failure.paid:
        pauses_s = PAID_PAUSES_S if own else PAID_OUTAGE_PAUSES_S
        paid_s = max(delay_s, pauses_s[min(attempts, len(pauses_s) - 1)])
        return Decision("retry", f"{seen}. The call was paid: an attempt is spent.", paid_s, failing=True)
    if failure.usage.unmetered and own:
        return Decision("retry", f"{seen}. The call may be billed: an attempt is spent.", delay_s, failing=True)
    return Decision("returned", f"{seen}: no attempt is spent.", delay_s, failing=True)


def pause_s(failing_s: float, longest_s: float) -> float:
    """As long as the lead has failed already: the pauses double. A tenth is random."""
    return min(longest_s, max(FIRST_PAUSE_S, failing_s)) * random.uniform(0.9, 1.0)  # noqa: S311 - jitter


def key_rest_s(rests: int, *, others_answered: bool, asked_s: float | None, again_s: float | None) -> float:
    """How long a key rests that failed.

    Args:
        rests: rests in a row before this one, without an answer in between.
        others_answered: another key was answered lately, so the fault is this key's project.
        asked_s: the delay that Google named.
        again_s: a longer one that is to be believed once a call after `asked_s` failed too.
    """
    asked_s = asked_s or 0.0
    if asked_s == math.inf:
        return asked_s
    if rests == 0:
        return asked_s or RESTS_S[0]
    if others_answered:
        grown_s = RESTS_S[min(rests, len(RESTS_S) - 1)]
    else:
        grown_s = min(LONE_REST_S, (asked_s or RESTS_S[0]) * 2.0 ** min(rests, 32))
    return max(grown_s, asked_s, again_s or 0.0)
