"""Answered leads that may be scored again, and the pauses and budgets that limit this."""

from typing import Literal
from uuid import UUID

from leadhook.domain.facts import Facts
from leadhook.domain.forecast import Spending
from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts


class SavedAnswer(Facts):
    score: int
    should_contact: bool
    subject: str | None = None
    """None: only the message failed."""
    model: str | None = None
    prompt_version: str | None = None


class AnsweredLead(Facts):
    """One lead, and the usage of its newest answer."""

    lead_id: str
    user_id: UUID | None = None
    tag: str | None = None
    saved: SavedAnswer
    saved_usage: Spending = Spending()


class LeadToScore(AnsweredLead):
    """A lead with everything needed to score it."""

    lead: Lead
    prompts: Prompts
    unreadable: str | None = None
    """Why the lead's row can't be read; `lead` then contains only its id."""


class BudgetLeft(Facts):
    """Dollars that are left today. `user_id` None: the budget of all users."""

    user_id: UUID | None = None
    left_usd: float


class OpenAdmission(Facts):
    everything: Literal["paused", "spent"] | None = None
    user_ids: frozenset[UUID] = frozenset()
    groups: frozenset[str] = frozenset()
    """Each as "user_id tag"."""
    budgets: tuple[BudgetLeft, ...] = ()

    def blocks(self, lead: AnsweredLead, most_usd: float | None, in_flight: list[tuple[UUID | None, float]]) -> bool:
        """Return whether a pause or a budget blocks this lead.

        Args:
            most_usd: its maximum cost; None if the price is unknown.
            in_flight: the user who pays for each call in progress, and its maximum cost.
        """
        if self.everything or lead.user_id in self.user_ids or f"{lead.user_id} {lead.tag}" in self.groups:
            return True
        for budget in self.budgets:
            if budget.user_id in (None, lead.user_id):
                used = sum(usd for user, usd in in_flight if budget.user_id in (None, user))
                if most_usd is None or budget.left_usd - used < most_usd:
                    return True
        return False


class AnsweredPage(Facts):
    """A page of the answered leads that match a filter, ordered by lead_id."""

    leads: tuple[AnsweredLead, ...] = ()
    last_lead: str | None = None
    """The lead before the next page; None on the last page."""
    admission: OpenAdmission = OpenAdmission()


class LeadsToScore(Facts):
    leads: tuple[LeadToScore, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    admission: OpenAdmission = OpenAdmission()
