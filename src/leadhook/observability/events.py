"""The closed list of the events that the service logs; values belong in fields, never in the name."""

from enum import StrEnum
from typing import Self


class Event(StrEnum):
    """The name of a log line. Lines without such a name come from libraries and carry `logger`."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    SERVICE_STARTED = "service.started", "the service is ready and claims leads"
    SERVICE_LISTENING = (
        "service.listening",
        "the port is bound; requests are answered, and leads are claimed from service.started on",
    )
    SERVICE_WARNED = "service.warned", "a setting works but is probably not what you want"
    START_FAILED = (
        "start.failed",
        "the service could not start: `error` is its kind, `reason` the message; no lead was claimed, exit code 3",
    )
    SERVICE_STOPPING = (
        "service.stopping",
        "the process received a signal: no new lead is claimed, leads in progress may finish within DRAIN_SEC",
    )
    SERVICE_STOPPED = (
        "service.stopped",
        "the service ended; all leads are saved or released, unless `drain.overrun` came first",
    )
    SERVICE_FAILED = "service.failed", "the engine failed; the process exits so that its supervisor restarts it"
    HTTP_REQUEST = "http.request", "a request was answered"
    WEBHOOK_ACCEPTED = (
        "webhook.accepted",
        "`count` webhooks in the last second were authentic, `woke` of them woke the worker; replaces `http.request`",
    )
    WEBHOOK_REFUSED = (
        "webhook.refused",
        "`count` webhooks in the last second were unauthenticated or too large; only this line has `reasons`",
    )
    REPLAY_REQUESTED = "replay.requested", "an admin requested a replay"
    SESSION_STARTED = "session.started", "someone signed in to the console; `by` is `token` or `link`"
    SESSION_REFUSED = "session.refused", "someone tried to sign in to the console with a wrong token or a used link"
    ACTION_TAKEN = "action.taken", "an admin pressed a button in the console; `route` is the action"
    LEAD_EXPLAINED = "lead.explained", "an admin asked for the state of a lead; `diagnosis` is the kind of answer"
    ON_DEMAND_REQUESTED = "on_demand.requested", "an admin asked for leads to be processed immediately"
    ON_DEMAND_FAILED = "on_demand.failed", "an on-demand answer could not be saved yet; the service keeps retrying"
    REPLAY_STOPPED = (
        "replay.stopped",
        "an admin stopped a replay; leads that had not started return to their previous state",
    )
    REPLAY_FAILED = "replay.failed", "a slice of a replay failed; it is retried"

    CLAIM_FINISHED = "claim.finished", "the database answered a claim"
    CLAIM_FAILED = "claim.failed", "a claim failed: the database did not answer, or its answer was invalid"
    LEAD_FINISHED = "lead.finished", "an attempt at a lead ended; `outcome` is the result"
    LEASE_LOST = "lease.lost", "another process holds the lead now; this process wrote nothing"
    RENEW_FAILED = "renew.failed", "leases could not be renewed; no model call starts until they are"
    SAVE_FAILED = "save.failed", "answers could not be saved; they are kept, and saving is retried"
    RELEASE_FAILED = (
        "release.failed",
        "leads could not be released; they become available when their leases expire",
    )
    PARK_FAILED = "park.failed", "a parked key could not be reported to the database; it is retried"
    DRAIN_OVERRUN = (
        "drain.overrun",
        "DRAIN_SEC passed before every lead was saved; their leases expire on their own",
    )
    SWEEP_FINISHED = "sweep.finished", "a sweep of the whole database finished"
    SWEEP_FAILED = "sweep.failed", "a slice of a sweep failed; it is retried"
    BREAKER_OPENED = (
        "breaker.opened",
        "the model is failing: claiming is suspended except for an occasional probe",
    )
    BREAKER_CLOSED = "breaker.closed", "the model answers again; claiming resumes"
    KEY_PARKED = "key.parked", "a Gemini key is not used for a while because of Google's response"
    LOG_DROPPED = "log.dropped", "`lines` lines did not reach `sink`, which was too slow or failing"
    LOG_FAILED = "log.failed", "`sink` accepts no lines; they are kept in memory while there is room"
    LOG_REFUSED = "log.refused", "the log service rejected `lines` lines permanently; they are lost"
    LOG_RECOVERED = "log.recovered", "`sink` accepts lines again after `down_s` seconds"
    LOG_SPOILED = "log.spoiled", "a library's log record could not be formatted"
    DOCTOR_ASKED = "doctor.asked", "`leadhook doctor` tested whether a line reaches the log service"
    METRICS_LISTENING = "metrics.listening", "the metrics can be scraped"
    METRICS_FAILED = "metrics.failed", "the metrics port could not be bound; the service runs without metrics"
    EXCEPTION_UNCAUGHT = "exception.uncaught", "an uncaught exception: a defect"
