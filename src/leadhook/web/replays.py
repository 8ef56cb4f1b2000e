"""`GET` and `DELETE /replays/{replay_id}`: how far a replay is, by lead and in sum; and its end before its time."""

from datetime import datetime
from typing import Annotated, Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.convertors import IntegerConvertor, register_url_convertor

from leadhook.observability.events import Event
from leadhook.store import LeadProgress, ReplayStatus, StoreError
from leadhook.web.openapi import Answer, Call, operation
from leadhook.web.problems import Problem
from leadhook.web.replay import unanswered

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class ReplayNumber(IntegerConvertor):
    """As `int`, but of no more digits than the database's; Python refuses to read thousands of them."""

    regex = "[0-9]{1,18}"


register_url_convertor("replay", ReplayNumber())


class PageQuery(BaseModel):
    """The page of leads to show."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    after: Annotated[str, StringConstraints(max_length=1000)] = ""
    """`next_after` of the previous page."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """The most leads to show."""


class ProgressAnswer(Answer):
    """The number of leads by state."""

    total: int
    waiting: int = 0
    leased: int = 0
    """Being processed now."""
    done: int = 0
    failed: int = 0
    dropped: int = 0
    """No longer eligible, or changed by the application and started over."""
    stopped: int = 0


class UsageAnswer(Answer):
    """Gemini usage so far."""

    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    """Including thinking tokens."""
    thinking_tokens: int
    cost_usd: float | None
    """null if the price is unknown."""


class LeadProgressAnswer(Answer):
    """One lead; unknown fields are left out."""

    lead_id: str
    state: str
    """`waiting`, `leased`, `done`, `failed`, `stopped` or `dropped`."""
    score: int | None = Field(default=None, exclude_if=lambda value: value is None)
    """The new score."""
    error_code: str | None = Field(default=None, exclude_if=lambda value: value is None)
    reason: str | None = Field(default=None, exclude_if=lambda value: value is None)


class ReplayStatusAnswer(Answer):
    """The progress of a replay."""

    replay_id: int
    state: Literal["queueing", "running", "finished", "stopping", "stopped"]
    """`queueing` and `stopping`: leads are still being added to the queue, or removed from it."""
    actor: str
    """Who started it: `admin:` and the first digits of the token's SHA-256."""
    reason: str | None
    created_at: datetime | None
    filter: dict[str, Any] | None
    limit: int | None
    counts: dict[str, int]
    """The number of leads by the outcome of queueing."""
    progress: ProgressAnswer
    usage: UsageAnswer
    leads: tuple[LeadProgressAnswer, ...]
    """One page, in the order of the lead ids."""
    next_after: str | None
    """`after` for the next page; null on the last page."""


@operation(
    "GET",
    "/replays/{replay_id:replay}",
    tag="Replay",
    who="admin",
    query=PageQuery,
    answers={200: ReplayStatusAnswer},
    problems={404: "No replay has this id.", 503: "The database can't answer now."},
)
async def show_replay(call: Call[Any]) -> ReplayStatusAnswer:
    """Show the progress of a replay, in total and by lead."""
    page: PageQuery = call.query
    replay_id: int = call.request.path_params["replay_id"]
    try:
        status = await call.request.state["replayer"].replay_status(replay_id, after=page.after, limit=page.limit)
    except StoreError as error:
        raise unanswered(error) from None
    return _answer(status, replay_id)


@operation(
    "DELETE",
    "/replays/{replay_id:replay}",
    tag="Replay",
    who="admin",
    answers={200: ReplayStatusAnswer},
    problems={404: "No replay has this id.", 503: "The database can't answer now."},
)
async def stop_replay(call: Call[Any]) -> ReplayStatusAnswer:
    """Stop a replay.

    Leads that have not started go back to what they were; leads being processed finish. Stopping twice is harmless; a
    replay that has finished stays `finished`.
    """
    replay_id: int = call.request.path_params["replay_id"]
    try:
        status = await call.request.state["replayer"].stop_replay(replay_id)
    except StoreError as error:
        raise unanswered(error) from None
    answer = _answer(status, replay_id)
    if answer.state == "finished":
        return answer
    call.request.state["wake_signal"].wake()
    log.info(Event.REPLAY_STOPPED, actor=call.actor, replay_id=replay_id, progress=answer.progress.model_dump())
    return answer


def _answer(status: ReplayStatus, replay_id: int) -> ReplayStatusAnswer:
    if not status.found:
        raise Problem(404, f"There is no replay {replay_id}.")
    progress = ProgressAnswer(total=status.total, **status.progress)
    usage = {name: round(getattr(status.usage, name)) for name in UsageAnswer.model_fields if name != "cost_usd"}
    return ReplayStatusAnswer(
        replay_id=status.replay_id,
        state=status.state,
        actor=status.actor,
        reason=status.reason,
        created_at=status.created_at,
        filter=status.filter,
        limit=status.limit,
        counts=status.counts,
        progress=progress,
        usage=UsageAnswer(**usage, cost_usd=status.usage.cost_usd),
        leads=tuple(_lead(lead) for lead in status.leads),
        next_after=status.leads[-1].lead_id if status.more else None,
    )


def _lead(lead: LeadProgress) -> LeadProgressAnswer:
    return LeadProgressAnswer(**lead.model_dump())
