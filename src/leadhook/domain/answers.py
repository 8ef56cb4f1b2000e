"""The model's answers, as `public.leadhook_answers` returns them."""

from datetime import datetime
from uuid import UUID

from leadhook.domain.lead_snapshot import PastResult
from leadhook.domain.status import Facts


class LeadAnswer(PastResult):
    """The newest answer of one lead."""

    lead_id: str
    name: str | None = None
    """The current name in lead_details."""
    user_id: UUID | None = None
    tag: str | None = None


class Answers(Facts):
    """A list of answers, newest first."""

    now: datetime
    """The time on the database's clock."""
    answers: tuple[LeadAnswer, ...] = ()
    has_more: bool = False
    """Whether there are more answers than the limit allows."""
