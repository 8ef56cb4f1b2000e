"""What should be known beside the one sentence: how the lead was found, and what is wrong with the installation."""

from leadhook.domain.dossier import Dossier
from leadhook.domain.standing.ring import INSTALL, failed, ring_step, ring_words


def find_remarks(dossier: Dossier) -> tuple[str, ...]:
    """A sentence each."""
    remarks = []
    if dossier.job is not None and dossier.job.found_by == "sweep" and dossier.job.state not in ("waiting", "held"):
        remarks.append(f"Only the sweep found it: {ring_words(dossier)}.")
    elif dossier.rings and failed(dossier.rings[0]):
        remarks.append(f"Its ring was lost: {ring_words(dossier)}. {ring_step(dossier)}")
    if dossier.missing_triggers:
        tables = ", ".join(f"public.{table}" for table in dossier.missing_triggers)
        remarks.append(f"A trigger is missing or disabled on {tables}: changes there wait for the sweep. {INSTALL}.")
    elif (
        not (dossier.ring.pg_net and dossier.ring.url_set and dossier.ring.secret_set)
        and not dossier.dashboard_webhooks
    ):
        remarks.append(f"The database can't ring. {ring_step(dossier)}")
    return tuple(remarks)
