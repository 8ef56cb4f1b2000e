"""Who is to blame for a failure: pure rules over evidence. `docs/blame.md` explains them.

One response proves little. What happens to one key or lead while others succeed is its own; what happens to all is
no one's.
"""

import random
from dataclasses import dataclass, replace
from typing import Final, Literal

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.phrases import amount

Rule = Literal["answer", "setting", "key", "refused", "given_up", "paid_enough", "paid", "undecided", "unknown"]
"""The rules of `decide` and `reconsider`, as the metric `leadhook_decisions_total` names them."""

RESTS_S: Final = (60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 86_400.0)
"""How long a key rests after each failure in a row, while other keys are answered."""
PROBE_S: Final = 64.0
"""While no call succeeds, one key and one lead are tried about once a minute."""
FIRST_PAUSE_S: Final = 2.0
OWN_PAUSE_S: Final = 600.0
"""The longest pause of a lead that fails while others are answered; otherwise `PROBE_S`."""
BILLED_PAUSE_S: Final = 3_600.0
"""The same if its calls may be billed."""
PAID_PAUSE_S: Final = 8.0
"""After a paid call without a usable answer, while other leads are answered."""
PAID_OUTAGE_PAUSE_S: Final = 3_660.0
"""The same while none is: it outlasts an hour. The next answer to another lead ends it."""
PAID_ATTEMPTS: Final = 2
"""Attempts at a step before a further call needs evidence; the first may make two calls."""
REFUSALS: Final = 3
"""Refusals of a lead before it is to blame."""
LATELY_S: Final = 600.0
"""How long what happened to other leads and keys counts as evidence."""
IN_A_ROW: Final = 3
"""Leads refused one after the other, with no answer in between, that make it the installation's fault."""
AT_ONCE: Final = 2
"""The same if they are all that was in flight."""


@dataclass(frozen=True)
class Evidence:
    """What happened to other leads.

    Attributes:
        failing_s: how long the lead has failed; None: this is its first failure.
        times: how often it failed with this code, this time included.
        answered: other leads that were answered by calls begun since then; at a first failure, in the last minute.
        with_key: those of them that were answered with the same key.
        passing: since then, a lead that had failed with the same code was answered.
        shared: since then, another lead failed with the same code.
        over: another lead was answered after the last failure of this one, and for `LATELY_S` none failed with the
            same code.
        alone: no other lead fails.
        keys: that were refused for this lead, one after the other.
    """

    failing_s: float | None = None
    times: int = 1
    answered: int = 0
    with_key: int = 0
    passing: bool = False
    shared: bool = False
    over: bool = False
    alone: bool = False
    keys: int = 1

    @property
    def own(self) -> bool:
        """Others were answered since this lead began to fail."""
        return self.failing_s is not None and self.answered > 0

    def __str__(self) -> str:
        """`2 keys were refused alike. 3 other leads were answered with this key since`."""
        alike = f"{amount(self.keys, 'key')} were refused alike. " if self.keys > 1 else ""
        when = "in the last minute" if self.failing_s is None else "since"
        if not self.answered:
            return f"{alike}No other lead was answered {when}"
        were = "was" if self.answered == 1 else "were"
        key = {0: "", self.answered: " with this key"}.get(self.with_key, f", {self.with_key} of them with this key,")
        return f"{alike}{amount(self.answered, 'other lead')} {were} answered{key} {when}"


@dataclass(frozen=True)
class Decision:
    """What becomes of a lead whose model call failed, as `Release` has it."""

    outcome: Literal["retry", "returned", "dead"]
    rule: Rule
    words: str
    """The evidence for it."""
    delay_s: float = 0.0
    failing: bool = False
    decide_after_s: float | None = None


def decide(  # noqa: PLR0911 - a table, one line a case
    failure: Failure, evidence: Evidence, *, paid_before: int, give_up_after_s: float
) -> Decision:
    """The one place where a failure becomes a consequence for its lead.

    Args:
        paid_before: attempts at this step of this run that were spent before.
        give_up_after_s: a lead that failed for so long is decided.
    """
    failing_s = evidence.failing_s or 0.0
    waits = f"{evidence}: no attempt is spent."
    if failure.kind == FailureClass.CONTENT:
        words = (
            "The model answered, so this lead is the cause." if failure.answered else "No call was made for this lead."
        )
        return Decision("dead", "answer", words)
    if failure.kind == FailureClass.CONFIGURATION:
        return Decision("returned", "setting", waits)
    if failure.kind == FailureClass.KEY:
        # It may be this lead that makes Google refuse the key, so others go first when the key is tried again.
        return Decision("returned", "key", waits, pause_s(failing_s, PROBE_S), failing=True)
    own_refusal = failure.kind == FailureClass.REFUSED and evidence.own and not evidence.passing
    if own_refusal and evidence.times >= REFUSALS:
        return Decision("dead", "refused", f"{evidence}, so this lead is the cause.")
    if failing_s >= give_up_after_s and (evidence.own or evidence.alone):
        return Decision("dead", "given_up", f"{evidence}, and it failed for too long.")
    asked_s = min(failure.park_s or 0.0, OWN_PAUSE_S)
    own_s = BILLED_PAUSE_S if failure.usage.unmetered else OWN_PAUSE_S
    delay_s = max(asked_s, pause_s(failing_s, own_s if evidence.own else PROBE_S))
    if failure.paid or (failure.usage.unmetered and evidence.own and not evidence.passing):
        return _spend(evidence, paid_before, delay_s, give_up_after_s)
    return Decision("returned", "unknown", waits, delay_s, failing=True)


def _spend(evidence: Evidence, paid_before: int, delay_s: float, give_up_after_s: float) -> Decision:
    """The call was paid, or is taken for paid. A step is paid for three times at most before it is decided."""
    if evidence.own and not evidence.passing and paid_before:
        return _paid_enough(evidence)
    words = f"{evidence}. The call was paid, or may be billed: an attempt is spent."
    if paid_before + 1 >= PAID_ATTEMPTS:
        return _wait_for_evidence(Decision("retry", "paid", words), evidence, give_up_after_s)
    if evidence.answered:
        return Decision("retry", "paid", words, max(delay_s, PAID_PAUSE_S), failing=True)
    return Decision("retry", "paid", words, PAID_OUTAGE_PAUSE_S, failing=True, decide_after_s=delay_s)


def reconsider(evidence: Evidence, *, paid_before: int, give_up_after_s: float) -> Decision | None:
    """What becomes of a lead instead of a further paid call; None: the step may be paid for.

    What happened to others alike, or to all, is not held against the lead: it is called once that is over, and once a
    day in any case.
    """
    if evidence.failing_s is None or paid_before < PAID_ATTEMPTS:
        return None
    if evidence.own and not evidence.passing and not evidence.shared:
        return _paid_enough(evidence)
    is_late = evidence.failing_s >= give_up_after_s
    if is_late and evidence.alone and not evidence.own:
        return Decision("dead", "given_up", f"{evidence}, and it failed for too long.")
    if is_late or evidence.over:
        return None
    words = f"{evidence}. It was paid for often enough, so it waits for evidence."
    return _wait_for_evidence(Decision("returned", "undecided", words), evidence, give_up_after_s)


def _paid_enough(evidence: Evidence) -> Decision:
    words = f"{evidence}, so this lead is the cause, and no more calls are paid for it."
    return Decision("dead", "paid_enough", words)


def _wait_for_evidence(decision: Decision, evidence: Evidence, give_up_after_s: float) -> Decision:
    """Until another lead is answered, or `give_up_after_s` is over; then for as long again."""
    failing_s = evidence.failing_s or 0.0
    left_s = give_up_after_s - failing_s if failing_s < give_up_after_s else give_up_after_s
    if evidence.own:
        return replace(decision, failing=True, delay_s=min(left_s, BILLED_PAUSE_S), decide_after_s=LATELY_S)
    return replace(decision, failing=True, delay_s=left_s, decide_after_s=0.0)


def pause_s(failing_s: float, longest_s: float) -> float:
    """As long as the lead has failed already: the pauses double. A twentieth is random."""
    return min(longest_s, max(FIRST_PAUSE_S, failing_s)) * random.uniform(0.95, 1.0)  # noqa: S311 - jitter


def is_installation(refused: int, *, in_a_row: bool, at_once: bool) -> bool:
    """Whether leads were refused because of the installation, and not each for its own sake.

    Args:
        refused: different leads that were refused with the same code, with no answer in between.
        in_a_row: the last call began after the first refusal.
        at_once: all calls began before it; no other is in flight, and none was answered since they began.
    """
    return (in_a_row and refused >= IN_A_ROW) or (at_once and refused >= AT_ONCE)


def key_rest_s(
    rests: int, *, others_answered: bool, turn_s: float, asked_s: float | None, again_s: float | None
) -> float:
    """How long a key rests that failed.

    Args:
        rests: rests in a row before this one, without an answer in between.
        others_answered: another key was answered lately, so the fault is this key's project.
        turn_s: until it is this key's turn, if no key is answered and one is tried a minute.
        asked_s: the delay that Google named; infinite: no call can carry the key.
        again_s: a longer one that is to be believed once a call after `asked_s` failed too.
    """
    if rests == 0:
        return asked_s or RESTS_S[0]
    grown_s = RESTS_S[min(rests, len(RESTS_S) - 1)] if others_answered else turn_s
    return max(grown_s, asked_s or 0.0, again_s or 0.0)
