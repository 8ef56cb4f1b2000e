"""Where a lead stands, in one sentence: facts in, words out, nothing asked and nothing changed.

The questions stand in the order in which they matter: the first that has something to say says it. What can't be
judged or does not exist comes before what somebody works on, that before what is missing, and only a lead that lacks
nothing can be held up by a pause, a key or the queue.
"""

from collections.abc import Callable
from typing import Final

from leadhook.domain.dossier import Dossier
from leadhook.domain.standing.change import missed, touched
from leadhook.domain.standing.existence import failing, unknown
from leadhook.domain.standing.gates import out_of_budget, paused, without_a_key
from leadhook.domain.standing.job import answered, dead, held, leased
from leadhook.domain.standing.parts import not_eligible
from leadhook.domain.standing.remarks import find_remarks
from leadhook.domain.standing.turn import queued, retrying, unclaimed
from leadhook.domain.standing.words import Standing, Why

_QUESTIONS: Final[tuple[Callable[[Dossier], Standing | None], ...]] = (
    unknown,
    leased,
    failing,
    answered,
    not_eligible,
    touched,
    held,
    dead,
    missed,
    paused,
    out_of_budget,
    without_a_key,
    retrying,
    unclaimed,
    queued,
)


def find_standing(dossier: Dossier) -> Standing:
    """The one sentence, and what a person can do."""
    return next(standing for question in _QUESTIONS if (standing := question(dossier)) is not None)


__all__ = ["Standing", "Why", "find_remarks", "find_standing"]
