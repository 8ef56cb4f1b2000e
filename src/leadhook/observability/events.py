"""The closed list of the events that the service logs; values go into fields, never into the name."""

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Self


class Event(StrEnum):
    """The name of a log line of ours. Lines without such a name come from a library and carry `logger`."""

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Self:
        """Make a member of its name and a line for people."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    SERVICE_STARTED = "service.started", "the service is up and claims leads"
    SERVICE_LISTENING = "service.listening", "the port is taken; requests are answered from service.started on"
    SERVICE_WARNED = "service.warned", "a setting works but deserves a second look"
    START_FAILED = (
        "start.failed",
        "the service could not start: `error` is the kind, `reason` the message; no lead was claimed, exit code 3",
    )
    SERVICE_STOPPING = "service.stopping", "a signal came: no new lead is taken, those at work may end within DRAIN_SEC"
    SERVICE_STOPPED = "service.stopped", "every lead was saved or given back"
    SERVICE_FAILED = "service.failed", "the engine broke off; the process ends so that its supervisor starts it anew"

    HTTP_REQUEST = "http.request", "one request was answered"
    WEBHOOK_ACCEPTED = (
        "webhook.accepted",
        "`count` rings of the last second proved themselves, `rang` of them woke the worker; instead of their requests",
    )
    WEBHOOK_REFUSED = (
        "webhook.refused",
        "`count` webhooks of the last second were unproven or too large; `reasons` are told here and nowhere else",
    )
    REPLAY_REQUESTED = "replay.requested", "an admin asked for leads to be judged again"
    LEAD_EXPLAINED = "lead.explained", "an admin asked where a lead stands; `why` is the kind of the answer"
    PROCESS_REQUESTED = "process.requested", "an admin had leads judged at once"
    PROCESS_FAILED = "process.failed", "leads of a request could not be begun; the answer says why"
    REPLAY_STOPPED = "replay.stopped", "an admin stopped a replay; what was not begun goes back to what it was"
    REPLAY_FAILED = "replay.failed", "a slice of a replay failed; it is tried again"

    CLAIM_FINISHED = "claim.finished", "the database answered a claim"
    CLAIM_FAILED = "claim.failed", "the database did not answer a claim, or not as it should"
    LEAD_FINISHED = "lead.finished", "one attempt at one lead ended; `outcome` says how"
    LEASE_LOST = "lease.lost", "another process holds the lead now; nothing of it was written"
    RENEW_FAILED = "renew.failed", "leases could not be renewed; no model call starts until they are"
    SAVE_FAILED = "save.failed", "answers could not be saved yet; they are tried again while their leases last"
    RELEASE_FAILED = "release.failed", "leads could not be given back; they are free when their leases end"
    DRAIN_OVERRUN = (
        "drain.overrun",
        "DRAIN_SEC was over before all leads were written; their leases run out by themselves",
    )
    SWEEP_FINISHED = "sweep.finished", "the whole database was searched once"
    SWEEP_FAILED = "sweep.failed", "a slice of the search failed; it is tried again"
    BRAKE_APPLIED = "brake.applied", "the model fails and not a lead: none is claimed, but one now and then to try it"
    BRAKE_RELEASED = "brake.released", "the model answers again"
    KEY_PARKED = "key.parked", "a Gemini key rests, because of what Google said"

    LOG_DROPPED = "log.dropped", "`lines` lines did not reach `sink`, which could not keep up or took none for a while"
    LOG_FAILED = "log.failed", "`sink` takes no lines; they wait in memory, as many as there is room for"
    LOG_REFUSED = "log.refused", "the log service refused `lines` lines for good; they are lost"
    LOG_RECOVERED = "log.recovered", "`sink` takes lines again after `down_s` seconds"
    LOG_SPOILED = "log.spoiled", "a library's record could not be put into words"
    DOCTOR_ASKED = "doctor.asked", "`leadhook doctor` tried whether a line reaches the log service"
    METRICS_LISTENING = "metrics.listening", "the metrics can be scraped"
    METRICS_FAILED = "metrics.failed", "the metrics' port can't be had; the service goes on without"
    EXCEPTION_UNCAUGHT = "exception.uncaught", "an exception that nothing caught: a defect"


def with_table(page: str) -> str:
    """The page with the list of events between its two marks renewed."""
    rows = "".join(f"| `{event}` | {event.meaning} |\n" for event in Event)
    table = f"<!-- events -->\n| event | says |\n|---|---|\n{rows}<!-- /events -->"
    return re.sub(r"<!-- events -->.*<!-- /events -->", lambda _: table, page, flags=re.DOTALL)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(with_table(file.read_text(encoding="utf-8")), encoding="utf-8")
