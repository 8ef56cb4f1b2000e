"""Explains the state of a lead: turns a snapshot into words, without any query.

The rules are ordered, and the first that applies gives the diagnosis. A lead that does not exist or cannot be checked
comes first, then a lead that is being processed, then missing conditions. Only an eligible lead can be kept waiting by
a pause, a budget, a key or the queue.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import Final, Literal

from leadhook.domain.facts import Facts
from leadhook.domain.findings import (
    CHECK_SERVICE,
    Finding,
    budget_spent,
    budget_too_small,
    check_keys,
    check_webhooks,
    describe_delivery,
    describe_pause,
    fix_delivery,
    triggers_missing,
)
from leadhook.domain.lead_snapshot import (
    Attempt,
    Eligibility,
    Job,
    JobState,
    LeadSnapshot,
    OutboxEntry,
)
from leadhook.domain.phrases import clause, count_words, moment
from leadhook.domain.status import COUNTED_UP_TO, Scope

State = JobState | Literal["unknown", "untracked"]

GRACE: Final = timedelta(seconds=10)
"""Time for pg_net to send the webhook (1 s) and receive the answer (5 s), and for a claim."""
PATIENCE: Final = timedelta(minutes=1)
"""A free slot is filled within a second; if all slots are taken, one becomes free within a minute."""


class DiagnosisCode(StrEnum):
    """The kind of a diagnosis, for programs."""

    UNKNOWN = "unknown"
    LEASED = "leased"
    EVALUATION_FAILED = "evaluation_failed"
    ANSWERED = "answered"
    ANSWERED_WITHOUT_MESSAGE = "answered_without_message"
    NO_DETAILS = "no_details"
    NOT_SCRAPPED = "not_scrapped"
    NO_PROMPTS = "no_prompts"
    ALREADY_SENT = "already_sent"
    CHANGE_PENDING = "change_pending"
    WEBHOOK_LOST = "webhook_lost"
    HELD = "held"
    DEAD = "dead"
    TRIGGER_MISSING = "trigger_missing"
    UNNOTICED = "unnoticed"
    PAUSED = "paused"
    BUDGET_SPENT = "budget_spent"
    BUDGET_TOO_SMALL = "budget_too_small"
    NO_KEY = "no_key"
    KEYS_REFUSED = "keys_refused"
    KEYS_COOLING = "keys_cooling"
    RETRY = "retry"
    UNCLAIMED = "unclaimed"
    QUEUED = "queued"
    REPLAY_QUEUED = "replay_queued"


_NEEDS_A_WORKER: Final = (
    DiagnosisCode.CHANGE_PENDING,
    DiagnosisCode.UNCLAIMED,
    DiagnosisCode.QUEUED,
    DiagnosisCode.REPLAY_QUEUED,
)


class ExplainedAttempt(Attempt):
    """An attempt, with its outcome as a sentence."""

    words: str


class DiagnosedLead(Facts):
    """The state of the lead, in words."""

    lead_id: str
    state: State
    """The state of the lead's job; `unknown`: no lead has this id; `untracked`: leadhook has not seen the lead yet."""
    diagnosis: DiagnosisCode
    """The kind of the diagnosis, for programs."""
    sentence: str
    """What is missing, or what happens next and when."""
    next_step: str | None
    """What you can do, if there is something to do."""
    remarks: tuple[str, ...]
    """Other things to know, one sentence each."""


class Explanation(LeadSnapshot, DiagnosedLead):
    """A diagnosis of the lead, and the facts behind it."""

    attempts: tuple[ExplainedAttempt, ...] = ()
    """The last 20, newest first."""


def explain(lead: LeadSnapshot, blockers: Sequence[Finding] = ()) -> Explanation:
    """Diagnose a lead. `blockers`: why the service that was asked claims no leads now."""
    diagnosis = diagnose(lead)
    without_job: State = "untracked" if lead.eligibility is None or lead.eligibility.known else "unknown"
    relevant = blockers if diagnosis.code in _NEEDS_A_WORKER else ()
    facts = {name: value for name, value in lead if name != "attempts"}
    return Explanation(
        **facts,
        attempts=tuple(ExplainedAttempt(**dict(attempt), words=_outcome(attempt)) for attempt in lead.attempts),
        state=lead.job.state if lead.job else without_job,
        diagnosis=DiagnosisCode(diagnosis.code),
        sentence=diagnosis.sentence,
        next_step=diagnosis.remedy or None,
        remarks=(*(f"This service claims no leads now: {blocker}" for blocker in relevant), *find_remarks(lead)),
    )


def diagnose(lead: LeadSnapshot) -> Finding:
    """The first rule that applies."""
    return next(diagnosis for rule in _RULES if (diagnosis := rule(lead)) is not None)


def find_remarks(lead: LeadSnapshot) -> tuple[str, ...]:
    """Return other things to know: how the lead was found, and problems of the installation. A sentence each."""
    remarks = []
    if lead.job is not None and lead.job.source == "sweep" and lead.job.state not in ("waiting", "held"):
        remarks.append(f"The sweep found the lead, not a webhook: {_describe_webhook(lead)}.")
    elif lead.webhooks and lead.webhooks[0].failed:
        remarks.append(f"The webhook for its change was lost: {_describe_webhook(lead)}. {_fix_webhooks(lead)}")
    if lead.missing_triggers or not lead.dashboard_webhooks:
        remarks.extend(map(str, check_webhooks(lead.missing_triggers, lead.webhook_setup)))
    return tuple(remarks)


def _unknown(lead: LeadSnapshot) -> Finding | None:
    eligibility = lead.eligibility
    if eligibility is None or eligibility.known:
        return None
    if lead.job is not None:
        return Finding(
            DiagnosisCode.UNKNOWN,
            "public.all_leads has no row with this lead_id. leadhook's records of it are removed by the next claim or "
            "sweep.",
        )
    also = ", although public.lead_details has one" if eligibility.has_details else ""
    return Finding(
        DiagnosisCode.UNKNOWN,
        f"The lead is unknown: public.all_leads has no row with this lead_id{also}.",
        "Insert the row, or check the id for spaces and spelling.",
    )


def _leased(lead: LeadSnapshot) -> Finding | None:
    job = lead.job
    if job is None or job.state != "leased" or job.lease_until is None:
        return None
    if job.lease_until <= lead.now:
        ended = moment(job.lease_until, lead.now)
        return Finding(
            DiagnosisCode.LEASED,
            f"Worker {job.worker} stopped renewing its lease of the lead, which expired at {ended}. The next claim "
            "takes the lead over.",
        )
    since = f" since {moment(job.leased_at, lead.now)}" if job.leased_at else ""
    then = " A replay follows." if job.replay_after else ""
    return Finding(
        DiagnosisCode.LEASED,
        f"Worker {job.worker} has been processing the lead{since}, attempt {job.attempts + 1} of {lead.max_attempts}. "
        f"Its lease lasts until {moment(job.lease_until, lead.now)} and is renewed while it works.{then}",
    )


def _not_checkable(lead: LeadSnapshot) -> Finding | None:
    """Checking eligibility raises, in the application's own views or functions."""
    if lead.eligibility is not None:
        return None
    return Finding(
        DiagnosisCode.EVALUATION_FAILED,
        f"The database cannot check whether the lead is eligible: {clause(lead.failure)}.",
        "Fix what the application's tables or views do with this row, then run `leadhook replay`.",
    )


def _answered(lead: LeadSnapshot) -> Finding | None:
    job, eligibility = lead.job, lead.eligibility
    if job is None or eligibility is None or eligibility.unsent or not eligibility.has_details:
        return None
    result = next((result for result in lead.results if result.written), None)
    if job.state != "done" and not (job.state == "waiting" and result):
        return None
    score = f" with score {result.score}" if result else ""
    time = job.finished_at or (result.created_at if result else None)
    at = f" at {moment(time, lead.now)}" if time else ""
    if job.state == "done" and job.error_code:
        return Finding(
            DiagnosisCode.ANSWERED_WITHOUT_MESSAGE,
            f"The lead was answered{at}{score}, but it has no message: {clause(job.reason)} ({job.error_code}).",
            "`leadhook replay` buys only the message, unless the lead or its prompts row has changed since.",
        )
    where = "Its answer is in public.llm_response." if lead.answered else "Its row in public.llm_response is gone."
    return Finding(
        DiagnosisCode.ANSWERED,
        f"The lead was answered{at}{score}. {where}",
        "" if lead.answered else "`leadhook replay` scores it again and writes a new answer.",
    )


def _not_eligible(lead: LeadSnapshot) -> Finding | None:
    """All that is missing in one sentence, with a remedy for each part."""
    if lead.eligibility is None or not (missing := _missing_parts(lead, lead.eligibility)):
        return None
    steps = [_supply(part, lead.eligibility) for part in missing]
    words = f"The lead is not eligible: {', and '.join(missing.values())}."
    return Finding(next(iter(missing)), words, " ".join(steps))


def _missing_parts(lead: LeadSnapshot, eligibility: Eligibility) -> dict[DiagnosisCode, str]:
    job = lead.job
    replayed = job is not None and (job.state == "dead" or (job.state == "ready" and job.replay_id is not None))
    parts = {}
    if not eligibility.has_details:
        parts[DiagnosisCode.NO_DETAILS] = "public.lead_details has no row for it"
    if not eligibility.scrapped:
        parts[DiagnosisCode.NOT_SCRAPPED] = "all_leads.scrapped is not true"
    if not eligibility.has_prompts:
        parts[DiagnosisCode.NO_PROMPTS] = _describe_missing_prompts(lead, eligibility)
    if eligibility.has_details and not eligibility.unsent and not replayed:
        answer = "llm_response has an answer" if lead.answered else "llm_response has no answer"
        parts[DiagnosisCode.ALREADY_SENT] = f"something other than leadhook set sent_to_llm to true ({answer})"
    return parts


def _describe_missing_prompts(lead: LeadSnapshot, eligibility: Eligibility) -> str:
    if column := _empty_column(eligibility):
        return f"all_leads.{column} is empty, so no prompts row can belong to it"
    others = ", ".join(repr(tag) for tag in lead.tags_of_user[:5])
    hint = f" (that user has prompts for {others})" if others else ""
    return f"there is no prompts row for user {eligibility.user_id} and tag {eligibility.tag!r}{hint}"


def _supply(part: DiagnosisCode, eligibility: Eligibility) -> str:
    column = _empty_column(eligibility) if part is DiagnosisCode.NO_PROMPTS else None
    return f"Set all_leads.{column}." if column else _STEPS[part]


def _empty_column(eligibility: Eligibility) -> str | None:
    if eligibility.user_id is None:
        return "user_id"
    return "tag" if eligibility.tag is None else None


def _change_pending(lead: LeadSnapshot) -> Finding | None:
    """A change that makes the lead ready is in the outbox and has not been applied."""
    change = next((change for change in lead.outbox.of_lead if _wakes(lead, change)), None)
    if change is None:
        return None
    webhook = lead.webhooks[0] if lead.webhooks else None
    late = lead.now - change.changed_at > GRACE
    lost = late or (webhook is not None and webhook.failed)
    changed = f"The lead is eligible. It changed at {moment(change.changed_at, lead.now)}"
    if change.return_to_outbox or (webhook is not None and webhook.arrived) or not lost:
        webhook_words = f" ({_describe_webhook(lead)})" if late else ""
        return Finding(
            DiagnosisCode.CHANGE_PENDING,
            f"{changed}{webhook_words}, and the next claim applies the change. Changes waiting to be applied: "
            f"{count_words(lead.outbox.total, 'change')}.",
            "If that number does not fall, see GET /ready of the service." if late else "",
        )
    return Finding(
        DiagnosisCode.WEBHOOK_LOST,
        f"{changed}, but the service received no webhook for it: {_describe_webhook(lead)}. The sweep or the next "
        "webhook finds the lead.",
        _fix_webhooks(lead),
    )


def _wakes(lead: LeadSnapshot, change: OutboxEntry) -> bool:
    """Whether applying this change makes the lead ready."""
    state = lead.job.state if lead.job else None
    if change.kind == "leads":
        return state in (None, "waiting", "held", "done", "dead")
    if change.kind == "prompts" and change.prompts_inserted:
        return state in ("waiting", "dead") or (state == "held" and not lead.answered)
    return state == "waiting"


def _held(lead: LeadSnapshot) -> Finding | None:
    job = lead.job
    if job is None or job.state != "held" or lead.eligibility is None:
        return None
    has = ", and llm_response has an answer for it" if lead.answered else ""
    scope = Scope(user_id=lead.eligibility.user_id, tag=lead.eligibility.tag)
    redo = " --redo" if lead.answered else ""
    return Finding(
        DiagnosisCode.HELD,
        f"The lead was eligible before leadhook was installed{has}. It is held with the backlog until released.",
        f"`leadhook backlog release{scope.options}{redo}` releases it with the others of its user and tag.",
    )


def _dead(lead: LeadSnapshot) -> Finding | None:
    job = lead.job
    if job is None or job.state != "dead":
        return None
    at = f" at {moment(job.finished_at, lead.now)}" if job.finished_at else ""
    kept = " Its paid answer is kept and is not bought again." if job.checkpoint else ""
    return Finding(
        DiagnosisCode.DEAD,
        f"The lead failed{at} and is not retried: {clause(job.reason)} ({job.error_code}).{kept}",
        f"{_remedy_of_death(job.error_code)} A changed user_id, tag or scrapped and a new prompts row also retry it.",
    )


def _remedy_of_death(code: str | None) -> str:
    """What helps a lead that one of its calls ended."""
    if code in ("prompt_blocked", "answer_blocked"):
        return "Google's filter blocked it: change words that may trigger it, or run `leadhook replay` to ask again."
    if code in ("prompt_too_long", "prompts_too_long"):
        return "Shorten the lead's texts or its prompts row, then run `leadhook replay`."
    if code is not None and code.startswith("model_"):
        return "Compare it with leads that were answered; if nothing differs, run `leadhook replay`."
    return "Fix the cause, then run `leadhook replay`."


def _unnoticed(lead: LeadSnapshot) -> Finding | None:
    """Eligible, but no change of it reached the outbox."""
    if lead.job is not None and lead.job.state not in ("waiting", "done"):
        return None
    if silent := [table for table in lead.missing_triggers if table != "gemini_api"]:
        finding = triggers_missing(silent)
        words = f"The lead is eligible, but its change was not noticed. {finding.sentence}"
        return Finding(DiagnosisCode.TRIGGER_MISSING, words, finding.remedy)
    done = lead.job is not None and lead.job.state == "done"
    if lead.backlog == "hold" and lead.first_round_finished_at is None and not done:
        return Finding(
            DiagnosisCode.UNNOTICED,
            "The lead was eligible before leadhook was installed. The first round of the sweep has not finished; it "
            "adds the lead to the held backlog.",
            "Start the service, then run `leadhook backlog release`.",
        )
    return Finding(
        DiagnosisCode.UNNOTICED,
        "The lead is eligible, but no change of it was recorded. The next round of the sweep, every "
        "SWEEP_INTERVAL_SEC, makes it ready.",
        "Check that the service runs. A change made with session_replication_role = replica fires no trigger.",
    )


def _paused(lead: LeadSnapshot) -> Finding | None:
    return _blocked(describe_pause(lead.pauses[0], lead.now)) if lead.pauses else None


def _out_of_budget(lead: LeadSnapshot) -> Finding | None:
    budget = next((b for b in lead.budgets if b.left_usd <= 0 or b.left_usd < (b.needed_usd or 0)), None)
    if budget is None:
        return None
    if budget.daily_usd <= 0 or budget.daily_usd < (budget.needed_usd or 0):
        return _blocked(budget_too_small(budget))
    return _blocked(budget_spent(budget, lead.now))


def _without_a_key(lead: LeadSnapshot) -> Finding | None:
    finding = check_keys(lead.keys, lead.keys.parked, lead.now)
    returns = lead.keys.next_return_at
    # A key is available again before the lead's next attempt is due: the attempt is what it waits for.
    if finding is None or (returns is not None and lead.job is not None and lead.job.available_at > returns):
        return None
    return _blocked(finding)


def _blocked(finding: Finding) -> Finding:
    """A finding about the installation keeps a ready lead from being claimed; both have the same code."""
    return replace(finding, sentence=f"The lead is ready but cannot be claimed. {finding.sentence}")


def _retrying(lead: LeadSnapshot) -> Finding | None:
    job = _ready_job(lead)
    if job.available_at <= lead.now:
        return None
    failed = f"attempt {job.attempts} of {lead.max_attempts} failed" if job.attempts else "it was released"
    sooner = ", or earlier if another lead is answered" if job.decide_after else ""
    return Finding(
        DiagnosisCode.RETRY,
        f"The lead is retried at {moment(job.available_at, lead.now)}{sooner}: {failed}, {clause(job.reason)} "
        f"({job.error_code}).",
    )


def _unclaimed(lead: LeadSnapshot) -> Finding | None:
    job, queue = _ready_job(lead), lead.queue
    if lead.now - job.available_at < PATIENCE or queue.leased or queue.finished_last_minute:
        return None
    return Finding(
        DiagnosisCode.UNCLAIMED,
        f"The lead has been ready since {moment(job.available_at, lead.now)}, but no worker claims anything.",
        "Start the service; if it runs, its GET /ready says why it does not claim.",
    )


def _queued(lead: LeadSnapshot) -> Finding:
    job, queue = _ready_job(lead), lead.queue
    place = _place_in_queue(lead)
    speed = f" {count_words(queue.finished_last_minute, 'lead')} finished in the last minute." * bool(queue.ahead)
    if job.replay_id is not None:
        replay = next((replay for replay in lead.replays if replay.id == job.replay_id), None)
        by = f", requested by {replay.actor} at {moment(replay.created_at, lead.now)}" if replay else ""
        words = f"The lead is queued for replay {job.replay_id}{by}, behind fresh leads. {place}{speed}"
        return Finding(DiagnosisCode.REPLAY_QUEUED, words)
    since = moment(job.available_at, lead.now)
    return Finding(
        DiagnosisCode.QUEUED, f"The lead has been ready since {since} and waits for a free worker. {place}{speed}"
    )


def _place_in_queue(lead: LeadSnapshot) -> str:
    ahead = lead.queue.ahead + lead.queue.fresh_ahead
    if not ahead:
        return "It is next."
    most = "" if ahead >= COUNTED_UP_TO else "At most "
    verb = "is" if ahead == 1 else "are"
    own = f"{lead.queue.ahead_in_group} of them with its user and tag"
    return f"{most}{count_words(ahead, 'lead')} {verb} ahead of it, {own}."


def _ready_job(lead: LeadSnapshot) -> Job:
    """The rules before have an answer for every other state."""
    if lead.job is None:
        raise ValueError("no other rule applied")
    return lead.job


_RULES: Final[tuple[Callable[[LeadSnapshot], Finding | None], ...]] = (
    _unknown,
    _leased,
    _not_checkable,
    _answered,
    _not_eligible,
    _change_pending,
    _held,
    _dead,
    _unnoticed,
    _paused,
    _out_of_budget,
    _without_a_key,
    _retrying,
    _unclaimed,
    _queued,
)
_STEPS: Final = {
    DiagnosisCode.NO_DETAILS: "Insert its row into public.lead_details.",
    DiagnosisCode.NOT_SCRAPPED: "Set public.all_leads.scrapped to true.",
    DiagnosisCode.NO_PROMPTS: "Insert a prompts row for exactly that user and tag; 'run' in the front end does this.",
    DiagnosisCode.ALREADY_SENT: "`leadhook replay` scores it anyway, or set sent_to_llm to false.",
}


def _describe_webhook(lead: LeadSnapshot) -> str:
    """Describe what happened to the webhook nearest to the change."""
    if not lead.webhooks:
        return "no webhook was recorded for its change"
    webhook = lead.webhooks[0]
    return f"the webhook of {moment(webhook.sent_at, lead.now)} {describe_delivery(webhook)}"


def _fix_webhooks(lead: LeadSnapshot) -> str:
    """What to do so that the next webhook arrives."""
    webhook = lead.webhooks[0] if lead.webhooks else None
    if setup := next(check_webhooks((), lead.webhook_setup), None):
        return setup.remedy
    return fix_delivery(webhook) if webhook is not None else CHECK_SERVICE


OUTCOMES: Final = {
    "saved": "answered and saved",
    "saved_without_message": "scored and saved, but without a message",
    "unwanted": "scored, but no longer eligible, so nothing was written",
    "refused": "scored, but the application refused the row",
    "retry": "failed, to be retried",
    "dead": "failed and not retried",
    "returned": "released without spending an attempt",
    "lease_expired": "the lease expired",
}
"""How an attempt ended, in words."""


def _outcome(attempt: Attempt) -> str:
    outcome = OUTCOMES.get(attempt.outcome, attempt.outcome)
    reason = attempt.reason or attempt.error_code
    return f"{outcome}: {clause(reason)}." if reason else f"{outcome}."
