"""Converts the reply to a claim to a batch; also the reply to a replay."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leadhook.domain.job import Batch, ClaimedLead
from leadhook.domain.lead import Lead, Prompts
from leadhook.store.columns import UnreadableColumnError, read_columns


class ReplayedLead(BaseModel):
    model_config = ConfigDict(frozen=True)

    lead_id: str
    outcome: str
    """`queued`, `queued_after`, `already_queued`, `held`, `not_eligible` or `unknown`."""
    missing: tuple[str, ...] = ()
    """If the lead is not eligible: the conditions that it does not meet."""


class ReplayReply(BaseModel):
    model_config = ConfigDict(frozen=True)

    replay_id: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    leads: tuple[ReplayedLead, ...] = ()
    phase: str = "queued"
    """`queueing` while leads that match the filter are being queued."""


def to_batch(reply: Mapping[str, Any]) -> Batch:
    """Parse the reply to a claim; leads with the same `prompts` row share one object.

    Each lead is parsed separately: one that can't be is `unreadable` and does not affect the others.

    Raises:
        ValueError: the reply has another shape (pydantic's ValidationError is one).
        KeyError: a lead refers to prompts that are not in the reply.
    """
    prompts = {ref: Prompts.model_validate(row) for ref, row in (reply.get("prompts") or {}).items()}
    leads = [_to_lead(lead, prompts[str(lead["prompts_ref"])]) for lead in reply.get("leads") or ()]
    return Batch.model_validate({**reply, "leads": leads, "keys": reply.get("keys") or ()})


def _to_lead(claimed: Mapping[str, Any], prompts: Prompts) -> ClaimedLead:
    try:
        lead = Lead.model_validate(read_columns(claimed["lead"]))
        unreadable = None
    except (UnreadableColumnError, ValidationError) as error:
        lead, unreadable = Lead(lead_id=claimed["lead_id"]), _reason(error)
    return ClaimedLead.model_validate({**claimed, "lead": lead, "prompts": prompts, "unreadable": unreadable})


def _reason(error: UnreadableColumnError | ValidationError) -> str:
    if isinstance(error, UnreadableColumnError):
        return error.reason
    columns = sorted({str(item["loc"][0]) for item in error.errors(include_input=False)})
    return f"{', '.join(columns)} can't be read; correct the lead's row, and it goes on"
