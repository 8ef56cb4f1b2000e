"""A lead that lacks nothing, but whose change has not been looked at, or was never told of."""

from datetime import timedelta

from leadhook.domain.dossier import Dossier, OutboxEntry
from leadhook.domain.moment import moment
from leadhook.domain.standing.ring import INSTALL, delivered, failed, ring_step, ring_words
from leadhook.domain.standing.words import Standing, Why, count_words

GRACE = timedelta(seconds=10)
"""A second of pg_net's pause, its 5 s for an answer, and a claim."""


def touched(dossier: Dossier) -> Standing | None:
    """A change that makes it ready is noted, and nobody has looked."""
    touch = next((touch for touch in dossier.touches.of_lead if _moves(dossier, touch)), None)
    if touch is None:
        return None
    ring = dossier.rings[0] if dossier.rings else None
    late = dossier.now - touch.touched_at > GRACE
    changed = f"The lead is eligible; it changed at {moment(touch.touched_at, dossier.now)}"
    if touch.put_back or (ring is not None and delivered(ring)) or not (late or (ring is not None and failed(ring))):
        many = count_words(dossier.touches.total, "change")
        told = f" ({ring_words(dossier)})" if late else ""
        wait = "waits" if dossier.touches.total == 1 else "wait"
        return Standing(
            Why.TOUCHED,
            f"{changed}{told}, and the next claim looks at it; {many} {wait} to be looked at.",
            "See the service's /ready if that number does not fall." if late else None,
        )
    return Standing(
        Why.RING_LOST,
        f"{changed}, but the service has not heard of it: {ring_words(dossier)}; the sweep or the next ring finds it.",
        ring_step(dossier),
    )


def _moves(dossier: Dossier, touch: OutboxEntry) -> bool:
    """Whether looking at this change makes the lead ready."""
    state = dossier.job.state if dossier.job else None
    if touch.kind == "leads":
        return state in (None, "waiting", "held", "done", "dead")
    if touch.kind == "prompts" and touch.prompts_inserted:
        return state in ("waiting", "dead") or (state == "held" and not dossier.answered)
    return state == "waiting"


def missed(dossier: Dossier) -> Standing | None:
    """It is eligible, and nothing in leadhook knows."""
    if dossier.job is not None and dossier.job.state not in ("waiting", "done"):
        return None
    silent = [f"public.{table}" for table in dossier.missing_triggers if table != "gemini_api"]
    if silent:
        return Standing(
            Why.TRIGGER_MISSING,
            f"The lead is eligible, but changes are not told of: a trigger on {' and '.join(silent)} is missing or "
            "disabled, so the lead waits for the sweep.",
            f"{INSTALL}.",
        )
    if dossier.backlog == "hold" and dossier.first_round_finished_at is None and not _is_done(dossier):
        return Standing(
            Why.UNNOTICED,
            "The lead is eligible since before leadhook came; the first round of the sweep, which is not over yet, "
            "holds it back with the backlog.",
            "Start the service; then `leadhook backlog release`.",
        )
    return Standing(
        Why.UNNOTICED,
        "The lead is eligible, but no change of it was noted; the next round of the sweep, each SWEEP_INTERVAL_SEC, "
        "makes it ready.",
        "See that the service runs; a change made with session_replication_role = replica fires no trigger.",
    )


def _is_done(dossier: Dossier) -> bool:
    return dossier.job is not None and dossier.job.state == "done"
