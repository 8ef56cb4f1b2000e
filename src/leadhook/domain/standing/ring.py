"""What became of the ring that told of a change, in pg_net's own words."""

from leadhook.domain.dossier import Dossier, Ring
from leadhook.domain.moment import moment
from leadhook.domain.standing.words import clause

_OK = range(200, 300)


def delivered(ring: Ring) -> bool:
    """The service took it."""
    return ring.status_code in _OK


def failed(ring: Ring) -> bool:
    """It is known not to have arrived."""
    return not ring.sent or ring.error is not None or ring.timed_out or not (ring.status_code is None or delivered(ring))


def ring_words(dossier: Dossier) -> str:
    """What became of the nearest ring."""
    if not dossier.rings:
        return "no ring was noted within 5 s of its change"
    ring = dossier.rings[0]
    rung = f"the ring of {moment(ring.rung_at, dossier.now)}"
    if not ring.sent:
        return f"{rung} could not be handed to pg_net: {clause(ring.error)}"
    if ring.queued:
        return f"{rung} is still in pg_net's queue, so its worker does not run"
    if delivered(ring):
        return f"{rung} was taken by the service (HTTP {ring.status_code})"
    if ring.error or ring.timed_out:
        return f"{rung} did not arrive, pg_net says: {clause(ring.error or 'timed out')}"
    if ring.status_code is not None:
        return f"{rung} was answered with HTTP {ring.status_code}"
    return f"{rung} has no answer from pg_net, which forgets after a restart and after six hours"


def ring_step(dossier: Dossier) -> str:
    """What to do so that the next ring arrives."""
    setup, ring = dossier.ring, dossier.rings[0] if dossier.rings else None
    if not setup.pg_net or not setup.url_set or not setup.secret_set:
        return "Run `leadhook webhooks install --url https://SERVICE/webhooks/leads`: pg_net, the URL or the secret is missing."
    if ring is not None and ring.queued:
        return "Start pg_net's worker: `select net.worker_restart();`."
    if ring is not None and ring.status_code == 401:
        return "WEBHOOK_SECRETS of the service does not hold the secret of the database: `leadhook webhooks install` prints it."
    return "See that the service runs and that leadhook_ring_url in Vault reaches it from the database."
