"""A lead that lacks a part of eligibility: all that is missing in one sentence."""

from leadhook.domain.dossier import Dossier, Eligibility
from leadhook.domain.standing.words import Standing, Why, lane_words

_STEPS = {
    Why.NO_DETAILS: "Insert its row into public.lead_details.",
    Why.NOT_SCRAPPED: "Set public.all_leads.scrapped to true.",
    Why.NO_PROMPTS: "Insert a prompts row for that user and tag, spelt alike; 'run' in the front end does it.",
    Why.ALREADY_SENT: "`leadhook replay` judges it all the same, or set sent_to_llm to false.",
}


def not_eligible(dossier: Dossier) -> Standing | None:
    """Something is missing, and no replay makes up for it."""
    if dossier.eligibility is None:
        return None
    missing = _missing(dossier, dossier.eligibility)
    if not missing:
        return None
    why = next(iter(missing))
    steps = [_step(part, dossier.eligibility) for part in missing]
    return Standing(why, f"The lead is not eligible: {', and '.join(missing.values())}.", " ".join(steps))


def _step(part: Why, eligibility: Eligibility) -> str:
    column = _empty_column(eligibility) if part is Why.NO_PROMPTS else None
    return f"Set all_leads.{column}." if column else _STEPS[part]


def _missing(dossier: Dossier, eligibility: Eligibility) -> dict[Why, str]:
    job = dossier.job
    replayed = job is not None and (job.state == "dead" or (job.state == "ready" and job.replay_id is not None))
    parts = {}
    if not eligibility.has_details:
        parts[Why.NO_DETAILS] = "public.lead_details has no row for it"
    if not eligibility.scrapped:
        parts[Why.NOT_SCRAPPED] = "all_leads.scrapped is not true"
    if not eligibility.has_prompts:
        parts[Why.NO_PROMPTS] = _no_prompts(dossier, eligibility)
    if eligibility.has_details and not eligibility.unsent and not replayed:
        answer = "llm_response has an answer" if dossier.answered else "llm_response has no answer"
        parts[Why.ALREADY_SENT] = f"sent_to_llm is true already, set by something else than leadhook ({answer})"
    return parts


def _no_prompts(dossier: Dossier, eligibility: Eligibility) -> str:
    if column := _empty_column(eligibility):
        return f"all_leads.{column} is empty, so no prompts row can belong to it"
    others = ", ".join(repr(tag) for tag in dossier.tags_of_user[:5])
    hint = f" (that user has prompts for {others})" if others else ""
    return f"there is no prompts row for {lane_words(eligibility.user_id, eligibility.tag)}{hint}"


def _empty_column(eligibility: Eligibility) -> str | None:
    if eligibility.user_id is None:
        return "user_id"
    return "tag" if eligibility.tag is None else None
