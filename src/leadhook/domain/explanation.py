"""The answer to "why is my lead not processed?": what the API and the command line both give."""

from collections.abc import Sequence
from typing import Final, Literal

from leadhook.domain.dossier import Attempt, Dossier, Facts, JobState
from leadhook.domain.standing import Why, find_remarks, find_standing

State = JobState | Literal["unknown", "untracked"]

_OUTCOMES: Final = {
    "saved": "answered, and written",
    "unwanted": "judged, but not eligible any more, so nothing was written",
    "refused": "judged, but the application refuses the row",
    "retry": "failed, to be tried again",
    "dead": "failed for good",
    "returned": "given back, no attempt spent",
    "lease_expired": "the worker was not heard of again",
}
_NEEDS_A_WORKER: Final = (Why.TOUCHED, Why.UNCLAIMED, Why.QUEUED, Why.REPLAY_QUEUED)


class Finding(Facts):
    """Where the lead stands, in words."""

    lead_id: str
    state: State
    """The state of the lead's job; `unknown`: no lead has this id; `untracked`: leadhook has not seen the lead yet."""
    why: Why
    """The kind of sentence, for programs."""
    sentence: str
    """What is missing, or what happens next and when."""
    next_step: str | None
    """What you can do, if there is something to do."""
    remarks: tuple[str, ...]
    """Other things to know, one sentence each."""


class ExplainedAttempt(Attempt):
    """An attempt, with its outcome as a sentence."""

    words: str


class Explanation(Dossier, Finding):
    """One sentence that says where the lead stands, and the facts behind it."""

    attempts: tuple[ExplainedAttempt, ...] = ()
    """The last 20, newest first."""


def explain(dossier: Dossier, troubles: Sequence[str] = ()) -> Explanation:
    """Put the facts into words.

    Args:
        dossier: what the database knows.
        troubles: why the service that is asked takes no lead at the moment, a sentence each.
    """
    standing = find_standing(dossier)
    untold: State = "untracked" if dossier.eligibility is None or dossier.eligibility.known else "unknown"
    held_up = troubles if standing.why in _NEEDS_A_WORKER else ()
    facts = {name: value for name, value in dossier if name != "attempts"}
    return Explanation(
        **facts,
        attempts=tuple(ExplainedAttempt(**dict(attempt), words=_words(attempt)) for attempt in dossier.attempts),
        state=dossier.job.state if dossier.job else untold,
        why=standing.why,
        sentence=standing.sentence,
        next_step=standing.next_step,
        remarks=(*(f"This service takes no lead now: {trouble}" for trouble in held_up), *find_remarks(dossier)),
    )


def _words(attempt: Attempt) -> str:
    outcome = _OUTCOMES.get(attempt.outcome, attempt.outcome)
    reason = attempt.reason or attempt.error_code
    return f"{outcome}: {reason.rstrip('.')}." if reason else f"{outcome}."
