"""What the database knows of answered leads that are to be scored again, and what may not be bought now."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from leadhook.domain.forecast import Spending
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class SavedAnswer(_Facts):
    """The newest answer of a lead."""

    score: int
    should_contact: bool
    subject: str
    model: str | None = None
    prompt_version: str | None = None


class AnsweredLead(_Facts):
    """One lead, and what its newest answer cost."""

    lead_id: str
    user_id: UUID | None = None
    tag: str | None = None
    saved: SavedAnswer
    saved_usage: Spending = Spending()


class LeadToScore(AnsweredLead):
    """The same with all that scoring it needs."""

    lead: Lead
    prompts: Prompts
    unreadable: str | None = None
    """Why the lead's row can't be read; `lead` then holds its id alone."""


class BudgetLeft(_Facts):
    """Dollars that are left today; `user_id` None: of the budget of all users."""

    user_id: UUID | None = None
    usd: float


class OpenAdmission(_Facts):
    """What may not be bought now."""

    everything: Literal["paused", "spent"] | None = None
    user_ids: frozenset[UUID] = frozenset()
    groups: frozenset[str] = frozenset()
    """Spelt "user_id tag"."""
    left: tuple[BudgetLeft, ...] = ()

    def blocks(self, lead: AnsweredLead, most_usd: float | None, in_flight: list[tuple[UUID | None, float]]) -> bool:
        """Whether this lead may not be scored now.

        Args:
            lead: whose user and tag count.
            most_usd: the most that it can cost; None: the price is not known.
            in_flight: who pays for the calls that are under way, and the most that each can cost.
        """
        if self.everything or lead.user_id in self.user_ids or f"{lead.user_id} {lead.tag}" in self.groups:
            return True
        for budget in self.left:
            if budget.user_id in (None, lead.user_id):
                used = sum(usd for user, usd in in_flight if budget.user_id in (None, user))
                if most_usd is None or budget.usd - used < most_usd:
                    return True
        return False


class AnsweredPage(_Facts):
    """Some answered leads of a filter, by lead_id."""

    leads: tuple[AnsweredLead, ...] = ()
    last_lead: str | None = None
    """Where the next page begins; None: there is none."""
    admission: OpenAdmission = OpenAdmission()


class LeadsToScore(_Facts):
    """Named leads, and the keys to score them with."""

    leads: tuple[LeadToScore, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    admission: OpenAdmission = OpenAdmission()
