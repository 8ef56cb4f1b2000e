"""`POST /replay`, and `GET` and `DELETE /replays/{replay_id}`: start a replay, show its progress, stop it.

The database decides for each lead what a replay does.
"""

import re
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
from leadhook.domain.lead_snapshot import JobState
from leadhook.domain.replays import DryRunAnswer, Outcome, ReplayReply, ReplayStatus
from leadhook.observability.events import Event
from leadhook.store import StoreError, begin_replay, count_replay
from leadhook.web.auth import require_admin
from leadhook.web.requests import Body, Identifier, Problem, json_answer, read_json, read_query
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
    state: JobState | None = None
    """The state of the lead's job. Held leads are only counted; `leadhook backlog release` queues them."""
    outcome: Outcome | None = None
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
            raise ValueError('an empty filter would select every lead: send {"all": true} if you mean that')
        if "all" in given and len(given) > 1:
            raise ValueError("all stands alone")
        return self

    def fields(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class ReplayRequest(_Optional):
    """The leads, by id or by filter."""

    model_config = _documented(
        oneOf=[{"required": ["lead_ids"]}, {"required": ["filter"]}],
        dependentRequired={"limit": ["filter"], "request_id": ["filter"]},
    )

    lead_ids: Annotated[list[LeadId], Field(min_length=1, max_length=1000)] | None = None
    filter: ReplayFilter | None = None
    limit: Annotated[int, Field(ge=1, le=2_147_483_647), Whole] | None = None
    """With a filter: the most leads to queue, in the order of their ids."""
    request_id: UUID | None = None
    """With a filter: a new id of your choice. A request that is sent again with it begins no second replay."""
    dry_run: bool = False
    """Count and estimate the cost; change nothing."""
    reason: Annotated[str, StringConstraints(max_length=500)] | None = None
    """Kept with the replay, for the audit."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.lead_ids is None) == (self.filter is None):
            raise ValueError("send exactly one of lead_ids and filter")
        for name in ("limit", "request_id"):
            if getattr(self, name) is not None and self.filter is None:
                raise ValueError(f"{name} needs a filter")
        return self

    def named(self) -> list[str]:
        """Return the ids, each once."""
        return list(dict.fromkeys(self.lead_ids or ()))

    def fields(self) -> dict[str, Any] | None:
        return self.filter.fields() if self.filter else None


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


async def replay(request: Request[AppState]) -> Response:
    """Score leads again, or only count.

    Give either `lead_ids` or `filter`. With `dry_run` nothing changes, and 200 reports the number of leads and the
    estimated cost. Earlier results are kept.
    """
    actor = await require_admin(request)
    wanted = await read_json(request, ReplayRequest, LARGEST_REPLAY)
    state = request.state
    if wanted.dry_run:
        found = await count_replay(
            state["store"], wanted.named() or None, wanted.fields(), wanted.limit, within_s=DRY_RUN_S
        )
        return json_answer(DryRunAnswer.of(found, state["slots"]))
    reply = await start_replay(state, wanted, actor)
    return json_answer(reply, 202)


async def start_replay(state: AppState, wanted: ReplayRequest, actor: str) -> ReplayReply:
    """Start a replay, for the API and the console."""
    try:
        reply = await begin_replay(
            state["store"],
            wanted.named(),
            wanted.fields(),
            wanted.limit,
            actor,
            wanted.reason,
            wanted.request_id,
        )
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
        phase=reply.state,
    )
    return reply


async def show_replay(request: Request[AppState]) -> Response:
    """Show the progress of a replay, in total and by lead."""
    await require_admin(request)
    page = read_query(request, PageQuery)
    replay_id = read_replay_id(request)
    status = await request.state["store"].replay_status(replay_id, after=page.after, limit=page.limit)
    return json_answer(existing(status, replay_id))


async def stop_replay(request: Request[AppState]) -> Response:
    """Stop a replay.

    Leads that have not started go back to what they were; leads being processed finish. Stopping twice is harmless; a
    replay that has finished stays `finished`.
    """
    actor = await require_admin(request)
    replay_id = read_replay_id(request)
    reason = read_query(request, StopQuery).reason or None
    answer = existing(await request.state["store"].stop_replay(replay_id, actor, reason), replay_id)
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


def existing(status: ReplayStatus, replay_id: int) -> ReplayStatus:
    if not status.found:
        raise Problem(404, f"There is no replay {replay_id}.")
    return status
