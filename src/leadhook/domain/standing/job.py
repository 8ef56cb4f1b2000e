"""What leadhook does with the lead, has done, or has been told not to do yet."""

from shlex import quote

from leadhook.domain.dossier import Dossier
from leadhook.domain.moment import moment
from leadhook.domain.standing.words import Standing, Why, clause


def leased(dossier: Dossier) -> Standing | None:
    """Somebody works on it."""
    job = dossier.job
    if job is None or job.state != "leased" or job.lease_until is None:
        return None
    if job.lease_until <= dossier.now:
        ended = moment(job.lease_until, dossier.now)
        return Standing(
            Why.LEASED,
            f"Worker {job.worker} had the lead and was not heard of again: its lease ended at {ended}, and the next "
            "claim takes the lead over.",
        )
    since = f" since {moment(job.leased_at, dossier.now)}" if job.leased_at else ""
    then = "; a replay follows" if job.replay_after else ""
    return Standing(
        Why.LEASED,
        f"Worker {job.worker} has been judging the lead{since}, attempt {job.attempts + 1} of {dossier.max_attempts}; "
        f"its lease lasts until {moment(job.lease_until, dossier.now)} and is renewed while it works{then}.",
    )


def answered(dossier: Dossier) -> Standing | None:
    """Done, and not asked for again."""
    job, eligibility = dossier.job, dossier.eligibility
    if job is None or eligibility is None or eligibility.unsent or not eligibility.has_details:
        return None
    verdict = next((verdict for verdict in dossier.verdicts if verdict.written), None)
    if job.state != "done" and not (job.state == "waiting" and verdict):
        return None
    score = f" with score {verdict.score}" if verdict else ""
    time = job.finished_at or (verdict.created_at if verdict else None)
    at = f" at {moment(time, dossier.now)}" if time else ""
    where = "its answer is in public.llm_response" if dossier.answered else "its row in public.llm_response is gone"
    return Standing(
        Why.ANSWERED,
        f"The lead was answered{at}{score}; {where}.",
        None if dossier.answered else "`leadhook replay` judges it again and writes a new one.",
    )


def held(dossier: Dossier) -> Standing | None:
    """Backlog."""
    job = dossier.job
    if job is None or job.state != "held" or dossier.eligibility is None:
        return None
    has = ", and llm_response has an answer for it" if dossier.answered else ""
    tag = quote(dossier.eligibility.tag or "")
    redo = " --redo" if dossier.answered else ""
    return Standing(
        Why.HELD,
        f"The lead was eligible before leadhook came, and is held back with the backlog{has}, until it is released.",
        f"`leadhook backlog release --user {dossier.eligibility.user_id} --tag {tag}{redo}` releases it with the "
        "others of its user and tag.",
    )


def dead(dossier: Dossier) -> Standing | None:
    """Given up."""
    job = dossier.job
    if job is None or job.state != "dead":
        return None
    at = f" at {moment(job.finished_at, dossier.now)}" if job.finished_at else ""
    kept = "; its answer is kept and is not bought again" if job.paid else ""
    return Standing(
        Why.DEAD,
        f"The lead was given up{at}: {clause(job.reason)} ({job.error_code}){kept}.",
        "Mend the cause, then `leadhook replay`; a change of its row or a new prompts row opens it too.",
    )
