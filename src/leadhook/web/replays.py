"""`POST /replay`, and `GET` and `DELETE /replays/{replay_id}`: start a replay, show its progress, stop it.

The database decides for each lead what a replay does.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

import structlog
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from starlette.requests import Request
from starlette.responses import Response

from leadhook.domain.facts import in_utc
from leadhook.domain.forecast import Spending
from leadhook.observability.events import Event
from leadhook.store import ReplayCount, ReplayReply, ReplayStatus, StoreError, count_replay
from leadhook.web.auth import require_admin
from leadhook.web.requests import Answer, Body, Identifier, Problem, json_answer, read_json, read_query
from leadhook.web.state import AppState

LARGEST_REPLAY: Final = 256 * 1024
DRY_RUN_S: Final = 20.0
"""A dry run that takes longer returns what it has counted so far."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LeadId = Annotated[Identifier, StringConstraints(min_length=1, max_length=1000)]
Word = Annotated[Identifier, StringConstraints(min_length=1, max_length=200)]
Whole = BeforeValidator(lambda given: int(given) if isinstance(given, float) and given.is_integer() else given)
"""JSON has one kind of number: 77.0 is 77."""


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
Score = Annotated[int, Field(ge=0, le=100), Whole]


def _documented(**rules: Any) -> ConfigDict:
    """Describe the checks below in the document: no null, and which fields go together."""

    def describe(schema: dict[str, Any]) -> None:
        for field in schema["properties"].values():
            kinds = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
            field.update(*kinds)
            if field.get("default", ...) is None:
                del field["default"]
        schema.update(rules)

    return ConfigDict(json_schema_extra=describe)


class _Optional(Body):
    """A body whose fields may be omitted, but must not be null."""

    @model_validator(mode="after")
    def _has_no_null(self) -> Self:
        if nulls := sorted(name for name in self.model_fields_set if getattr(self, name) is None):
            raise ValueError(f"{', '.join(nulls)}: must not be null; omit the field instead")
        return self


class ReplayFilter(_Optional):
    """Selects among the leads that leadhook knows; a lead must match every given field."""

    model_config = _documented(minProperties=1, dependentSchemas={"all": {"maxProperties": 1}})

    all: Literal[True] | None = None
    """Every lead. Stands alone; an empty filter is refused."""
    user_id: UUID | None = None
    tag: Word | None = None
    state: Literal["waiting", "ready", "leased", "done", "dead", "held"] | None = None
    """The state of the lead's job. Held leads are only counted; `leadhook backlog release` queues them."""
    outcome: (
        Literal["saved", "saved_without_message", "unwanted", "refused", "retry", "dead", "returned", "lease_expired"]
        | None
    ) = None
    """The outcome of its last attempt."""
    error_code: Word | None = None
    """Why its job is dead, or why its result was not saved."""
    score_min: Score | None = None
    """The lowest last score."""
    score_max: Score | None = None
    """The highest last score."""
    prompt_version: Word | None = None
    """The prompt version of its last result."""
    since: Moment | None = None
    """Its last run ended at this time or later."""
    until: Moment | None = None
    """Its last run ended before this time."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        if not given:
            raise ValueError('an empty filter would take every lead: say {"all": true} if that is meant')
        if "all" in given and len(given) > 1:
            raise ValueError("all stands alone")
        return self

    def fields(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class ReplayRequest(_Optional):
    """The leads, by id or by filter."""

    model_config = _documented(
        oneOf=[{"required": ["lead_ids"]}, {"required": ["filter"]}],
        dependentRequired={"limit": ["filter"]},
    )

    lead_ids: Annotated[list[LeadId], Field(min_length=1, max_length=1000)] | None = None
    filter: ReplayFilter | None = None
    limit: Annotated[int, Field(ge=1, le=2_147_483_647), Whole] | None = None
    """With a filter: the most leads to queue, in the order of their ids."""
    dry_run: bool = False
    """Count and estimate the cost; change nothing."""
    reason: Annotated[str, StringConstraints(max_length=500)] | None = None
    """Kept with the replay, for the audit."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.lead_ids is None) == (self.filter is None):
            raise ValueError("either lead_ids or filter is needed, and not both")
        if self.limit is not None and self.filter is None:
            raise ValueError("limit belongs to a filter")
        return self

    def named(self) -> list[str]:
        """Return the ids, each once."""
        return list(dict.fromkeys(self.lead_ids or ()))


class ReplayedLeadAnswer(Answer):
    """What the replay did with one lead."""

    lead_id: str
    outcome: str
    """`queued`, `queued_after`, `already_queued`, `not_eligible` or `unknown`."""
    missing: tuple[str, ...] = Field(default=(), exclude_if=lambda missing: not missing)
    """The conditions that a lead that is not eligible fails."""


class ReplayAnswer(Answer):
    """What the replay did with the leads."""

    replay_id: int | None
    state: Literal["queueing", "queued"]
    """`queueing`: leads that match the filter are still being queued; `GET /replays/{replay_id}` shows the progress."""
    counts: dict[str, int]
    """The number of leads by outcome; with a filter also `held`."""
    leads: tuple[ReplayedLeadAnswer, ...]
    """The leads given by id; empty with a filter."""


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


class Forecast(UsageAnswer):
    """An estimate from what these leads cost when they were last scored."""

    duration_s: float
    """With the slots of this process alone."""
    scored_before: int
    """How many of these leads have figures; the others are estimated by an average."""


class DryRunAnswer(Answer):
    """What a replay would do. Nothing was changed."""

    dry_run: Literal[True] = True
    count: int
    """How many leads would be scored."""
    counts: dict[str, int]
    """The number of leads by outcome."""
    complete: bool
    """false: counting all leads took too long, and the figures are for a part of them."""
    forecast: Forecast | None
    """null while no lead was ever scored."""
    sample: tuple[str, ...]
    """The first ids of the leads that would be scored."""


class PageQuery(BaseModel):
    """The page of leads to show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: Annotated[str, StringConstraints(max_length=1000)] = ""
    """`next_after` of the previous page."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    """The most leads to show."""


class StopQuery(BaseModel):
    """Why a replay is stopped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Annotated[str, StringConstraints(max_length=500)] = ""
    """Kept for the audit."""


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


async def replay(request: Request[AppState]) -> Response:
    """Score leads again, or only count.

    Give either `lead_ids` or `filter`. With `dry_run` nothing changes, and 200 reports the number of leads and the
    estimated cost. Earlier results are kept.
    """
    actor = await require_admin(request)
    wanted = await read_json(request, ReplayRequest, LARGEST_REPLAY)
    state = request.state
    if wanted.dry_run:
        return json_answer(await _count(state, wanted))
    reply = await start_replay(state, wanted, actor)
    answer = ReplayAnswer(
        replay_id=reply.replay_id,
        state="queueing" if reply.phase == "queueing" else "queued",
        counts=reply.counts,
        leads=tuple(ReplayedLeadAnswer.model_validate(lead.model_dump()) for lead in reply.leads),
    )
    return json_answer(answer, 202)


async def start_replay(state: AppState, wanted: ReplayRequest, actor: str) -> ReplayReply:
    """Start a replay, for the API and the console."""
    try:
        reply = await _begin(state, wanted, actor)
    except StoreError as error:
        log.warning(Event.REPLAY_REQUESTED, actor=actor, error_code=error.code, reason=error.reason)
        raise
    # The database sends a webhook too, which may get lost.
    state["engine"].wake()
    log.info(
        Event.REPLAY_REQUESTED,
        actor=actor,
        named=len(wanted.named()),
        replay_id=reply.replay_id,
        counts=reply.counts,
        phase=reply.phase,
    )
    return reply


async def show_replay(request: Request[AppState]) -> Response:
    """Show the progress of a replay, in total and by lead."""
    await require_admin(request)
    page = read_query(request, PageQuery)
    replay_id = read_replay_id(request)
    status = await request.state["store"].replay_status(replay_id, after=page.after, limit=page.limit)
    return json_answer(_status_answer(status, replay_id))


async def stop_replay(request: Request[AppState]) -> Response:
    """Stop a replay.

    Leads that have not started go back to what they were; leads being processed finish. Stopping twice is harmless; a
    replay that has finished stays `finished`.
    """
    actor = await require_admin(request)
    replay_id = read_replay_id(request)
    reason = read_query(request, StopQuery).reason or None
    answer = _status_answer(await request.state["store"].stop_replay(replay_id, actor, reason), replay_id)
    if answer.state != "finished":
        request.state["engine"].wake()
        log.info(Event.REPLAY_STOPPED, actor=actor, replay_id=replay_id, progress=answer.progress.model_dump())
    return json_answer(answer)


def read_replay_id(request: Request[AppState]) -> int:
    """Return the id in the path.

    Raises:
        Problem: 404.
    """
    given: str = request.path_params["replay_id"]
    # Python refuses to parse thousands of digits, and the database's ids have fewer than 19.
    if not re.fullmatch("[0-9]{1,18}", given):
        raise Problem(404, "A replay's id is a number: GET /replays/REPLAY_ID.")
    return int(given)


async def _begin(state: AppState, wanted: ReplayRequest, actor: str) -> ReplayReply:
    if wanted.filter is None:
        return await state["store"].replay(wanted.named(), actor, wanted.reason)
    return await state["store"].replay_filtered(wanted.filter.fields(), wanted.limit, actor, wanted.reason)


async def _count(state: AppState, wanted: ReplayRequest) -> DryRunAnswer:
    fields = wanted.filter.fields() if wanted.filter else None
    found = await count_replay(state["store"], wanted.named() or None, fields, wanted.limit, within_s=DRY_RUN_S)
    return DryRunAnswer(
        count=found.count,
        counts=found.counts,
        complete=found.complete,
        forecast=forecast_replay(found, state["slots"]),
        sample=found.sample,
    )


def forecast_replay(count: ReplayCount, slots: int) -> Forecast | None:
    """Estimate cost and duration with the slots that low priority may use; None if no lead was ever scored."""
    found, slots = count.forecast(), max(1, int(slots * 3 / 4))
    if found is None:
        return None
    return Forecast(
        **_usage(found),
        duration_s=round(found.model_ms / 1000 / min(slots, max(1, count.count)), 1),
        scored_before=count.usage.known,
    )


def _usage(spent: Spending) -> dict[str, Any]:
    counts = {name: round(getattr(spent, name)) for name in UsageAnswer.model_fields if name != "cost_usd"}
    return counts | {"cost_usd": spent.cost_usd}


def _status_answer(status: ReplayStatus, replay_id: int) -> ReplayStatusAnswer:
    if not status.found:
        raise Problem(404, f"There is no replay {replay_id}.")
    return ReplayStatusAnswer(
        replay_id=status.replay_id,
        state=status.state,
        actor=status.actor,
        reason=status.reason,
        created_at=status.created_at,
        filter=status.filter,
        limit=status.limit,
        counts=status.counts,
        progress=ProgressAnswer(total=status.total, **status.progress),
        usage=UsageAnswer(**_usage(status.usage)),
        leads=tuple(LeadProgressAnswer.model_validate(lead.model_dump()) for lead in status.leads),
        next_after=status.leads[-1].lead_id if status.more else None,
    )
