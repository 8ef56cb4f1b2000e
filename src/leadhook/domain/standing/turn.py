"""A ready lead that lacks nothing waits for its turn."""

from datetime import timedelta

from leadhook.domain.dossier import Dossier, Job
from leadhook.domain.moment import moment
from leadhook.domain.standing.words import COUNTED_UP_TO, Standing, Why, clause, count_words

PATIENCE = timedelta(minutes=1)
"""A free worker claims within a second; one that has all its slots taken finishes a lead within a minute."""


def _ready(dossier: Dossier) -> Job:
    """Whoever gets here has a job that is ready; the database knows no other state."""
    if dossier.job is None:
        raise ValueError("no other question had an answer")
    return dossier.job


def retrying(dossier: Dossier) -> Standing | None:
    """It failed, and rests for a while."""
    job = _ready(dossier)
    if job.available_at <= dossier.now:
        return None
    failed = f"attempt {job.attempts} of {dossier.max_attempts} failed" if job.attempts else "it was given back"
    return Standing(
        Why.RETRY,
        f"The lead is tried again at {moment(job.available_at, dossier.now)}: {failed}, {clause(job.reason)} "
        f"({job.error_code}).",
    )


def unclaimed(dossier: Dossier) -> Standing | None:
    """Its turn has come, and nobody works."""
    job, queue = _ready(dossier), dossier.queue
    if dossier.now - job.available_at < PATIENCE or queue.leased or queue.finished_last_minute:
        return None
    return Standing(
        Why.UNCLAIMED,
        f"The lead could be worked on since {moment(job.available_at, dossier.now)}, but no worker takes anything.",
        "Start the service, or see its /ready, which says what keeps it from working.",
    )


def queued(dossier: Dossier) -> Standing | None:
    """The next free slot, or the one after."""
    job, queue = _ready(dossier), dossier.queue
    ahead = queue.ahead + queue.fresh_ahead
    before = count_words(ahead, "lead")
    most = "" if ahead >= COUNTED_UP_TO else "at most "
    own = f"{queue.ahead_in_lane} of its own user and tag"
    verb = "is" if ahead == 1 else "are"
    place = f"{most}{before} {verb} ahead of it, {own}" if ahead else "it is the next"
    pace = f", and {count_words(queue.finished_last_minute, 'lead')} ended in the last minute" * bool(queue.ahead)
    replay = next((replay for replay in dossier.replays if replay.id == job.replay_id), None)
    if job.replay_id is not None:
        by = f", asked for by {replay.actor} at {moment(replay.created_at, dossier.now)}" if replay else ""
        return Standing(
            Why.REPLAY_QUEUED, f"The lead is queued for replay {job.replay_id}{by}, behind fresh leads; {place}{pace}."
        )
    since = moment(job.available_at, dossier.now)
    return Standing(Why.QUEUED, f"The lead is ready since {since} and waits for a free worker; {place}{pace}.")
