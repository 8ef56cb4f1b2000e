"""`GET` and `DELETE /replays/{replay_id}`: how far a replay is, by lead and in sum; and its end before its time."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request

from leadhook.observability.events import Event
from leadhook.store import LeadProgress, ReplayStatus, StoreError
from leadhook.web.openapi import Answer, Call, operation
from leadhook.web.problems import Problem
from leadhook.web.replay import unanswered
from leadhook.web.state import State

LARGEST_ID: Final = 2**63 - 1

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class PageQuery(BaseModel):
    """Which leads to show."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    after: Annotated[str, StringConstraints(max_length=1000)] = ""
    """`next_after` of the page before."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """How many."""


class ProgressAnswer(Answer):
    """How many leads are where."""

    total: int
    waiting: int = 0
    leased: int = 0
    """Being judged now."""
    done: int = 0
    failed: int = 0
    dropped: int = 0
    """Not eligible any more, or begun anew by a change of the application."""
    stopped: int = 0


class UsageAnswer(Answer):
    """What the model was asked for it so far."""

    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    """With the thinking ones."""
    thinking_tokens: int
    cost_usd: float | None
    """None where no price is known."""


class ComparisonAnswer(Answer):
    """What is compared so far, in sum."""

    compared: int
    """Leads with an old and a new score; the means are of those."""
    without_old_score: int
    old_mean: float | None
    new_mean: float | None
    mean_change: float | None
    up: int
    """Leads that cross 50 upwards: they would be written to."""
    down: int
    """Leads that cross 50 downwards."""


class LeadProgressAnswer(Answer):
    """One lead; what is not known of it is left out."""

    lead_id: str
    state: str
    """`waiting`, `leased`, `done`, `failed`, `stopped` or `dropped`."""
    score: int | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of a replay: the new score."""
    old_score: int | None = Field(default=None, exclude_if=lambda value: value is None)
    new_score: int | None = Field(default=None, exclude_if=lambda value: value is None)
    crosses: Literal["up", "down"] | None = Field(default=None, exclude_if=lambda value: value is None)
    """Whether it crosses 50."""
    old_subject: str | None = Field(default=None, exclude_if=lambda value: value is None)
    new_subject: str | None = Field(default=None, exclude_if=lambda value: value is None)
    new_should_contact: bool | None = Field(default=None, exclude_if=lambda value: value is None)
    old_prompt_version: str | None = Field(default=None, exclude_if=lambda value: value is None)
    new_prompt_version: str | None = Field(default=None, exclude_if=lambda value: value is None)
    error_code: str | None = Field(default=None, exclude_if=lambda value: value is None)
    reason: str | None = Field(default=None, exclude_if=lambda value: value is None)


class ReplayStatusAnswer(Answer):
    """How far a replay is."""

    replay_id: int
    mode: Literal["replay", "compare"]
    state: Literal["queueing", "running", "finished", "stopping", "stopped"]
    """`queueing` and `stopping`: leads are still being put into the queue, or taken out of it."""
    actor: str
    """Who asked for it: `admin:` and the beginning of the token's SHA-256."""
    reason: str | None
    created_at: datetime | None
    filter: dict[str, Any] | None
    limit: int | None
    prompts: bool
    """Whether texts of its own stand in the place of the prompts row."""
    counts: dict[str, int]
    """What queueing its leads came to."""
    progress: ProgressAnswer
    usage: UsageAnswer
    comparison: ComparisonAnswer | None
    """Only of the mode compare."""
    leads: tuple[LeadProgressAnswer, ...]
    """A page of them, in the order of their ids."""
    next_after: str | None
    """`after` of the next page; None: this is the last."""


@operation(
    "GET",
    "/replays/{replay_id}",
    who="admin",
    query=PageQuery,
    answers={200: ReplayStatusAnswer},
    problems={404: "There is no replay of this id.", 503: "The database could not be asked."},
)
async def show_replay(call: Call[Any]) -> ReplayStatusAnswer:
    """How far a replay is, in sum and by lead."""
    page: PageQuery = call.query
    replay_id = _replay_id(call.request)
    try:
        status = await call.request.state["replayer"].replay_status(replay_id, after=page.after, limit=page.limit)
    except StoreError as error:
        raise unanswered(error) from None
    return _answer(status, replay_id)


@operation(
    "DELETE",
    "/replays/{replay_id}",
    who="admin",
    answers={200: ReplayStatusAnswer},
    problems={404: "There is no replay of this id.", 503: "The database could not be asked."},
)
async def stop_replay(call: Call[Any]) -> ReplayStatusAnswer:
    """Stop a replay.

    What is not begun yet goes back to what it was; what is being judged now ends. Repeatable.
    """
    replay_id = _replay_id(call.request)
    try:
        status = await call.request.state["replayer"].stop_replay(replay_id)
    except StoreError as error:
        raise unanswered(error) from None
    answer = _answer(status, replay_id)
    call.request.state["bell"].ring()
    log.info(Event.REPLAY_STOPPED, actor=call.actor, replay_id=replay_id, progress=answer.progress.model_dump())
    return answer


def _replay_id(request: Request[State]) -> int:
    # Not Starlette's {replay_id:int}: that one fails on a number of more than 4300 digits.
    text: str = request.path_params["replay_id"]
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) > LARGEST_ID:
        raise Problem(404, "There is no replay of this id.")
    return int(text)


def _answer(status: ReplayStatus, replay_id: int) -> ReplayStatusAnswer:
    if not status.found:
        raise Problem(404, f"There is no replay {replay_id}.")
    progress = ProgressAnswer(total=sum(status.progress.values()), **status.progress)
    usage = {name: round(getattr(status.usage, name)) for name in UsageAnswer.model_fields if name != "cost_usd"}
    comparison = status.comparison
    return ReplayStatusAnswer(
        replay_id=status.replay_id,
        mode=status.mode,
        state=_state(status.phase, progress),
        actor=status.actor,
        reason=status.reason,
        created_at=status.created_at,
        filter=status.filter,
        limit=status.limit,
        prompts=status.prompts,
        counts=status.counts,
        progress=progress,
        usage=UsageAnswer(**usage, cost_usd=status.usage.cost_usd),
        comparison=ComparisonAnswer(**comparison.model_dump()) if comparison else None,
        leads=tuple(_lead(lead) for lead in status.leads),
        next_after=status.leads[-1].lead_id if status.more else None,
    )


def _state(phase: str, progress: ProgressAnswer) -> Literal["queueing", "running", "finished", "stopping", "stopped"]:
    match phase:
        case "queueing" | "stopping" | "stopped":
            return phase
        case _:
            return "running" if progress.waiting or progress.leased else "finished"


def _lead(lead: LeadProgress) -> LeadProgressAnswer:
    return LeadProgressAnswer(**lead.model_dump())
