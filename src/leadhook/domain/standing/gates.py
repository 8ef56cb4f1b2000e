"""What keeps a ready lead from being claimed, though nothing is wrong with it."""

from leadhook.domain.dossier import Dossier
from leadhook.domain.moment import moment
from leadhook.domain.standing.words import Standing, Why, clause


def without_a_key(dossier: Dossier) -> Standing | None:
    """No Gemini key may be used now."""
    keys = dossier.keys
    if keys.healthy > 0:
        return None
    if keys.total == 0:
        return Standing(
            Why.NO_KEY,
            "The lead is ready, but public.gemini_api holds no API key, or can't be read.",
            "Insert a key; the service is told at once.",
        )
    told = f" ({clause(keys.parked[0].reason)})" if keys.parked else ""
    if keys.next_return_at is None:
        return Standing(
            Why.KEYS_REFUSED,
            f"The lead is ready, but Google refuses every Gemini key, {keys.total} in all{told}.",
            "Replace the keys in public.gemini_api; a changed row is tried at once.",
        )
    if dossier.job is not None and dossier.job.available_at > keys.next_return_at:
        return None
    refused = f", {keys.disabled} more are refused" if keys.disabled else ""
    return Standing(
        Why.KEYS_COOLING,
        f"The lead is ready, but all usable Gemini keys rest, {keys.cooling} in all{refused}{told}; the first returns "
        f"at {moment(keys.next_return_at, dossier.now)}.",
        "Nothing; another key in public.gemini_api would be used at once.",
    )
