"""The answers of the model as `public.leadhook_answers` lists them."""

from datetime import datetime
from uuid import UUID

from leadhook.domain.lead_snapshot import PastResult
from leadhook.domain.status import Facts


class LeadAnswer(PastResult):
    """The newest answer of one lead."""

    lead_id: str
    name: str | None = None
    """As lead_details has it now."""
    user_id: UUID | None = None
    tag: str | None = None


class Answers(Facts):
    """A list of them, the newest first."""

    now: datetime
    """By the database's clock."""
    answers: tuple[LeadAnswer, ...] = ()
    has_more: bool = False
    """The limit cut the list."""
