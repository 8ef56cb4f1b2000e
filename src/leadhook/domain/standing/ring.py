"""What became of the ring that told of a change, in pg_net's own words."""

from http import HTTPStatus
from typing import Final

from leadhook.domain.dossier import Dossier, WebhookDelivery
from leadhook.domain.moment import moment
from leadhook.domain.standing.words import clause

INSTALL: Final = "Run `leadhook webhooks install --url https://SERVICE/webhooks/leads`"
_TAKEN: Final = range(200, 300)


def delivered(ring: WebhookDelivery) -> bool:
    """The service took it."""
    return ring.status_code in _TAKEN


def failed(ring: WebhookDelivery) -> bool:
    """It is known not to have arrived."""
    return not ring.sent or ring.error is not None or ring.timed_out or (bool(ring.status_code) and not delivered(ring))


def ring_words(dossier: Dossier) -> str:
    """What became of the nearest ring."""
    if not dossier.rings:
        return "no ring was noted for its change"
    ring = dossier.rings[0]
    return f"the ring of {moment(ring.rung_at, dossier.now)} {_fate(ring)}"


def _fate(ring: WebhookDelivery) -> str:
    if not ring.sent:
        return f"could not be handed to pg_net: {clause(ring.error)}"
    if ring.queued:
        return "is still in pg_net's queue, so its worker does not run"
    if ring.error or ring.timed_out:
        return f"did not arrive, pg_net says: {clause(ring.error or 'timed out')}"
    if ring.status_code is not None:
        return f"was {'taken by the service' if delivered(ring) else 'refused'} (HTTP {ring.status_code})"
    return "has no answer from pg_net, which forgets what it had to send when the database restarts"


def ring_step(dossier: Dossier) -> str:
    """What to do so that the next ring arrives."""
    setup, ring = dossier.ring, dossier.rings[0] if dossier.rings else None
    if setup.vault_error is not None:
        return f"{INSTALL}, which replaces what Vault can't decrypt (SQLSTATE {setup.vault_error})."
    if not (setup.pg_net and setup.url_set and setup.secret_set):
        return f"{INSTALL}: pg_net, the ring's URL or its secret is missing."
    if ring is not None and ring.queued:
        return "Start pg_net's worker: `select net.worker_restart();`."
    if ring is not None and ring.status_code == HTTPStatus.UNAUTHORIZED:
        return (
            "Give the service the database's secret: `leadhook webhooks install` prints the line for WEBHOOK_SECRETS."
        )
    return "See that the service runs and that leadhook_ring_url in Vault reaches it from the database."
