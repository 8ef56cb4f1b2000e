"""`POST /webhooks/leads`: a webhook. It costs no database work; what it means is for the worker to find out."""

import time
from typing import Final, Literal

from leadhook.settings import Settings
from leadhook.web.canonical_line import SUMMED
from leadhook.web.openapi import Answer, Call, operation
from leadhook.web.problems import too_large_for_now
from leadhook.web.webhook_body import WebhookBody

LARGEST_WEBHOOK: Final = 1024 * 1024
"""A dashboard webhook sends the whole row, and of an UPDATE the old one too."""


class WebhookAnswer(Answer):
    """Received. The service checks afterwards whether there is work."""

    ok: Literal[True] = True


@operation(
    "POST",
    "/webhooks/leads",
    tag="Webhook",
    who="webhook",
    body=WebhookBody,
    largest_body=LARGEST_WEBHOOK,
    answers={202: WebhookAnswer},
    problems={413: too_large_for_now(Settings.model_fields["sweep_interval_sec"].default)},
)
async def receive_webhook(call: Call[WebhookBody]) -> WebhookAnswer:
    """Receive a webhook from the database.

    The body is the one that Supabase's webhooks send, or the form with `records` that leadhook's own triggers send. A
    signature is made per message, so the curl line uses the static header; `leadhook doctor` tests the signed way.
    """
    webhook, proof, state = call.body, call.proof, call.request.state
    assert proof is not None, "only who proved itself gets here"  # noqa: S101 - for the type checker
    # A signed webhook comes from our own triggers, which noted the leads in the database; its ids add nothing.
    hints = webhook.lead_ids() if proof.by == "static_header" else []
    woke = webhook.means_work and (proof.punctual or state["late_webhooks"].take())
    if woke:
        state["wake_signal"].wake(hints)
    state["webhook_sum"].accepted(
        by=proof.by,
        kind=f"{webhook.table or 'any'}.{webhook.type}",
        age_s=proof.age_s,
        hints=len(hints),
        woke=woke,
        needed=webhook.means_work,
        seconds=time.perf_counter() - call.began_at,
    )
    call.request.scope[SUMMED] = True
    return WebhookAnswer()
