"""`POST /replay`: an admin has leads scored again; the database decides lead by lead what that means."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

import structlog
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from leadhook.observability.events import Event
from leadhook.store import ReplayCount, ReplayReply, StoreError, count_replay
from leadhook.web.openapi import Answer, Body, Call, operation
from leadhook.web.problems import Problem
from leadhook.web.state import AppState

LARGEST_REPLAY: Final = 256 * 1024
RETRY_AFTER_S: Final = "10"
DRY_RUN_S: Final = 20.0
"""A dry run that takes longer answers what it has counted so far."""

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LeadId = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Whole = BeforeValidator(lambda given: int(given) if isinstance(given, float) and given.is_integer() else given)
"""JSON knows one kind of number: 77.0 is 77."""


def _in_utc(time: datetime) -> datetime:
    """Postgres takes no offset of 16 hours or more; the first and the last day of all may have no UTC."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if time.year == 1 else datetime.max.replace(tzinfo=UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Score = Annotated[int, Field(ge=0, le=100), Whole]


def _documented(**rules: Any) -> ConfigDict:
    """What the checks below say, for the document: no null, and which fields go together."""

    def describe(schema: dict[str, Any]) -> None:
        for field in schema["properties"].values():
            kinds = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
            field.update(*kinds)
            if field.get("default", ...) is None:
                del field["default"]
        schema.update(rules)

    return ConfigDict(json_schema_extra=describe)


class _Optional(Body):
    """A body whose fields may be left out, but are not null."""

    @model_validator(mode="after")
    def _has_no_null(self) -> Self:
        if nulls := sorted(name for name in self.model_fields_set if getattr(self, name) is None):
            raise ValueError(f"{', '.join(nulls)}: null says nothing, leave it out")
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
    outcome: Literal["saved", "unwanted", "refused", "retry", "dead", "returned", "lease_expired"] | None = None
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
        """Those that are given, for the database."""
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
        """The ids, each once."""
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


class Forecast(Answer):
    """An estimate from what these leads cost when they were last scored."""

    calls: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    """Including thinking tokens."""
    thinking_tokens: int
    cost_usd: float | None
    """null if the price is unknown."""
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


@operation(
    "POST",
    "/replay",
    tag="Replay",
    who="admin",
    body=ReplayRequest,
    largest_body=LARGEST_REPLAY,
    answers={202: ReplayAnswer, 200: DryRunAnswer},
    problems={503: "The database could not take the replay."},
)
async def replay(call: Call[ReplayRequest]) -> ReplayAnswer | tuple[int, DryRunAnswer]:
    """Score leads again, or only count.

    Give either `lead_ids` or `filter`. With `dry_run` nothing changes, and 200 reports the number of leads and the
    estimated cost. Earlier results are kept.
    """
    wanted, state, actor = call.body, call.request.state, call.actor
    try:
        if wanted.dry_run:
            return 200, await _count(state, wanted)
        reply = await _begin(state, wanted, actor)
    except StoreError as error:
        log.warning(Event.REPLAY_REQUESTED, actor=actor, error_code=error.code, reason=error.reason)
        raise unanswered(error) from None
    # The database sends a webhook, too; that webhook may be lost.
    state["wake_signal"].wake()
    log.info(
        Event.REPLAY_REQUESTED,
        actor=actor,
        named=len(wanted.named()),
        replay_id=reply.replay_id,
        counts=reply.counts,
        phase=reply.phase,
    )
    return ReplayAnswer(
        replay_id=reply.replay_id,
        state="queueing" if reply.phase == "queueing" else "queued",
        counts=reply.counts,
        leads=tuple(ReplayedLeadAnswer.model_validate(lead.model_dump()) for lead in reply.leads),
    )


def unanswered(error: StoreError) -> Problem:
    """The problem for a database that can't be asked."""
    if error.kind == "caller_bug":
        return Problem(500)
    return Problem(
        503, f"The database could not take the replay: {error.reason}.", headers={"Retry-After": RETRY_AFTER_S}
    )


async def _begin(state: AppState, wanted: ReplayRequest, actor: str) -> ReplayReply:
    if wanted.filter is None:
        return await state["replayer"].replay(wanted.named(), actor, wanted.reason)
    return await state["replayer"].replay_filtered(wanted.filter.fields(), wanted.limit, actor, wanted.reason)


async def _count(state: AppState, wanted: ReplayRequest) -> DryRunAnswer:
    fields = wanted.filter.fields() if wanted.filter else None
    found = await count_replay(state["replayer"], wanted.named() or None, fields, wanted.limit, within_s=DRY_RUN_S)
    return DryRunAnswer(
        count=found.count,
        counts=found.counts,
        complete=found.complete,
        forecast=_forecast(found, max(1, int(state["slots"] * 3 / 4))),
        sample=found.sample,
    )


def _forecast(count: ReplayCount, slots: float) -> Forecast | None:
    found = count.forecast()
    if found is None:
        return None
    tokens = {name: round(getattr(found, name)) for name in Forecast.model_fields if name.endswith("_tokens")}
    return Forecast(
        calls=round(found.calls),
        **tokens,
        cost_usd=found.cost_usd,
        duration_s=round(found.model_ms / 1000 / min(slots, max(1, count.count)), 1),
        scored_before=count.usage.known,
    )
