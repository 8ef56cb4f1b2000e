"""Converts the reply to a claim to a batch."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from leadhook.domain.job import Batch, ClaimedLead
from leadhook.domain.lead import Lead, Prompts
from leadhook.store.columns import UnreadableColumnError, read_columns


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
    lead, unreadable = read_lead(claimed["lead_id"], claimed["lead"])
    return ClaimedLead.model_validate({**claimed, "lead": lead, "prompts": prompts, "unreadable": unreadable})


def read_lead(lead_id: str, columns: Mapping[str, Any]) -> tuple[Lead, str | None]:
    """Return the lead, or one with only its id and the reason why its row can't be read."""
    try:
        return Lead.model_validate(read_columns(columns)), None
    except UnreadableColumnError as error:
        return Lead(lead_id=lead_id), error.reason
    except ValidationError as error:
        names = sorted({str(item["loc"][0]) for item in error.errors(include_input=False)})
        reason = f"{', '.join(names)} can't be read; correct the lead's row, then run `leadhook replay`"
        return Lead(lead_id=lead_id), reason
