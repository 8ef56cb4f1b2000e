"""A lead that does not exist, or that the database can't judge."""

from leadhook.domain.dossier import Dossier
from leadhook.domain.standing.words import Standing, Why, clause


def unknown(dossier: Dossier) -> Standing | None:
    """all_leads has no such row."""
    eligibility = dossier.eligibility
    if eligibility is None or eligibility.known:
        return None
    if dossier.job is not None:
        return Standing(
            Why.UNKNOWN,
            "The lead was deleted from public.all_leads; all that leadhook holds of it goes with the next claim.",
        )
    also = ", though public.lead_details has one" if eligibility.has_details else ""
    return Standing(
        Why.UNKNOWN,
        f"The lead is unknown: public.all_leads has no row with this lead_id{also}.",
        "Insert it, or look for a blank or another spelling in the id.",
    )


def failing(dossier: Dossier) -> Standing | None:
    """Judging it raises, in the application's own views or functions."""
    if dossier.eligibility is not None:
        return None
    return Standing(
        Why.EVALUATION_FAILED,
        f"The database can't judge whether the lead is eligible: {clause(dossier.failure)}.",
        "Mend what the application's tables or views do with this row; then change the row, or replay the lead.",
    )
