"""A snapshot in, a diagnosis out: a row for each case, and the order in which they matter."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from leadhook.domain.diagnosis import diagnose, explain
from leadhook.domain.findings import Finding
from leadhook.domain.lead_snapshot import LeadSnapshot
from leadhook.domain.phrases import moment

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
USER: Final = "00000000-0000-4000-8000-000000000001"
Facts = dict[str, Any]


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def lead(**changes: object) -> Facts:
    parts = {
        "known": True,
        "has_details": True,
        "scrapped": True,
        "has_prompts": True,
        "unsent": True,
        "eligible": True,
    }
    return {**parts, "user_id": USER, "tag": "t", **changes}


def job(state: str, **changes: object) -> Facts:
    """A job that may run since a second ago."""
    demanded = {"worker": "w", "leased_at": at(-5), "lease_until": at(25)} if state == "leased" else {}
    dead = {"error_code": "blocked", "reason": "It is blocked."} if state == "dead" else {}
    return {"state": state, "available_at": at(-1), "finished_at": at(-60), **demanded, **dead, **changes}


def change(kind: str = "leads", age: float = 1, **changes: object) -> Facts:
    return {
        "total": 1,
        "of_lead": [{"kind": kind, "changed_at": at(-age), **changes}],
    }


def webhook(**changes: object) -> list[Facts]:
    return [{"reason": "insert all_leads", "sent_at": at(-1), **changes}]


def snapshot(**facts: Any) -> LeadSnapshot:
    """Eligible, with a key, well installed, but for these facts."""
    tables = ("all_leads", "lead_details", "prompts", "gemini_api")
    well: Facts = {
        "lead_id": "a",
        "now": NOW,
        "eligibility": lead(),
        "keys": {"total": 1, "healthy": 1},
        "triggers": dict.fromkeys(tables, True),
        "webhook_setup": {"url_set": True, "secret_set": True, "pg_net": True},
        "first_round_finished_at": at(-3600),
    }
    return LeadSnapshot.model_validate({**well, **facts})


NO_PROMPTS = lead(has_prompts=False, eligible=False)
SENT = lead(unsent=False, eligible=False)
RESULT = [{"run": 1, "score": 80, "should_contact": True, "subject": "s", "written": True, "created_at": at(-60)}]
PAUSE = {"actor": "ada", "reason": "why.", "paused_at": at(-60)}
COOLING = {
    "total": 2,
    "cooling": 1,
    "disabled": 1,
    "next_return_at": at(40),
    "parked": [{"fingerprint": "f", "reason": "r."}],
}

WAYS: Final[dict[str, tuple[Facts, str, str]]] = {
    "unknown": ({"eligibility": lead(known=False)}, "unknown", "with this lead_id, although public.lead_details"),
    "deleted, not yet erased": ({"eligibility": lead(known=False), "job": job("done")}, "unknown", "are removed by"),
    "no details": ({"eligibility": lead(has_details=False, unsent=False)}, "no_details", "lead_details has no row"),
    "not scrapped": ({"eligibility": lead(scrapped=False)}, "not_scrapped", "scrapped is not true"),
    "no prompts": ({"eligibility": NO_PROMPTS}, "no_prompts", f"no prompts row for user {USER} and tag 't'"),
    "no prompts, but others": (
        {"eligibility": NO_PROMPTS, "tags_of_user": ["T", " t"]}, "no_prompts", "has prompts for 'T', ' t'"
    ),
    "no user": ({"eligibility": NO_PROMPTS | {"user_id": None}}, "no_prompts", "all_leads.user_id is empty"),
    "no tag": ({"eligibility": NO_PROMPTS | {"tag": None}}, "no_prompts", "all_leads.tag is empty"),
    "two things missing": (
        {"eligibility": NO_PROMPTS | {"scrapped": False}}, "not_scrapped", "not true, and there is no prompts row"
    ),
    "already sent": (
        {"eligibility": SENT}, "already_sent", "other than leadhook set sent_to_llm to true (llm_response has no"
    ),
    "already sent, answered": ({"eligibility": SENT, "answered": True}, "already_sent", "(llm_response has an answer)"),
    "a change that would not help": (
        {"eligibility": NO_PROMPTS, "job": job("waiting"), "outbox": change()}, "no_prompts", "no prompts row"
    ),
    "evaluation raises": ({"eligibility": None, "failure": "1 / 0"}, "evaluation_failed", "is eligible: 1 / 0."),
    "changed": (
        {"outbox": change()},
        "change_pending",
        "(1 second ago), and the next claim applies the change. Changes waiting to be applied: 1 change.",
    ),
    "changed, put back": ({"outbox": change(age=60, return_to_outbox=True)}, "change_pending", "the next claim"),
    "changed, its webhook accepted, late": (
        {"outbox": change(age=60), "webhooks": webhook(status_code=202)},
        "change_pending",
        "was accepted by the service (HTTP 202)",
    ),
    "a waiting lead and a new prompts row": (
        {"job": job("waiting"), "outbox": change("prompts", prompts_inserted=True)}, "change_pending", "It changed at"
    ),
    "a dead lead and a new prompts row": (
        {"job": job("dead"), "outbox": change("prompts", prompts_inserted=True)}, "change_pending", "It changed at"
    ),
    "a dead lead and a changed prompts row": ({"job": job("dead"), "outbox": change("prompts")}, "dead", "failed"),
    "a held and answered lead and a new prompts row": (
        {"job": job("held"), "answered": True, "outbox": change("prompts", prompts_inserted=True)}, "held", "It is held"
    ),
    "webhook lost": (
        {"outbox": change(), "webhooks": webhook(error="Couldn't connect to server")},
        "webhook_lost",
        "did not arrive; pg_net reports: Couldn't connect to server. The sweep",
    ),
    "webhook timed out": (
        {"outbox": change(), "webhooks": webhook(timed_out=True)}, "webhook_lost", "reports: timed out"
    ),
    "webhook refused": (
        {"outbox": change(), "webhooks": webhook(status_code=401)},
        "webhook_lost",
        "was refused by the service (HTTP 401)",
    ),
    "webhook not handed over": (
        {"outbox": change(), "webhooks": webhook(sent=False, error="pg_net is missing")},
        "webhook_lost",
        "pg_net is missing",
    ),
    "webhook in the queue": (
        {"outbox": change(age=60), "webhooks": webhook(queued=True)}, "webhook_lost", "is still in pg_net"
    ),
    "webhook without an answer": (
        {"outbox": change(age=60), "webhooks": webhook()}, "webhook_lost", "has no answer from pg_net"
    ),
    "no webhook": ({"outbox": change(age=60)}, "webhook_lost", "no webhook was recorded"),
    "trigger missing": (
        {"triggers": {"all_leads": False, "prompts": False, "lead_details": True}},
        "trigger_missing",
        "missing or disabled on public.all_leads, public.prompts. Changes there wait for the sweep.",
    ),
    "a dashboard webhook in its place": (
        {"triggers": {"all_leads": False}, "dashboard_webhooks": ["all_leads"]}, "unnoticed", "no change of it was"
    ),
    "before the first round": ({"first_round_finished_at": None}, "unnoticed", "The first round of the sweep has not"),
    "reset unseen": (
        {"first_round_finished_at": None, "job": job("done")}, "unnoticed", "The next round of the sweep"
    ),
    "held": ({"job": job("held")}, "held", "eligible before leadhook was installed"),
    "dead": ({"job": job("dead")}, "dead", "(60 seconds ago) and is not retried: It is blocked (blocked)."),
    "dead, its answer kept": ({"job": job("dead", checkpoint=True)}, "dead", "paid answer is kept"),
    "dead after a replay": ({"job": job("dead"), "eligibility": SENT, "results": RESULT}, "dead", "failed"),
    "paused": ({"job": job("ready"), "pauses": [PAUSE]}, "paused", "All work has been paused"),
    "user paused": (
        {"job": job("ready"), "pauses": [PAUSE | {"user_id": USER}]},
        "paused",
        f"The work of user {USER} has been paused",
    ),
    "tag paused": (
        {"job": job("ready"), "pauses": [PAUSE | {"user_id": USER, "tag": "t"}]}, "paused", "tag t has been paused"
    ),
    "budget spent": (
        {"job": job("ready"), "budgets": [{"daily_usd": 5, "left_usd": 0}]},
        "budget_spent",
        "budget of $5 for all users is spent ($0.00 left): leads wait until 2026-11-24T00:00:00Z (in 12",
    ),
    "budget too small for a lead": (
        {"job": job("ready"), "budgets": [{"user_id": USER, "daily_usd": 5, "left_usd": 0.01, "needed_usd": 0.02}]},
        "budget_spent",
        "($0.010 left, and a lead may cost up to $0.020)",
    ),
    "budget whose whole day is too little for a lead": (
        {"job": job("ready"), "budgets": [{"daily_usd": 0.01, "left_usd": 0.01, "needed_usd": 0.02}]},
        "budget_too_small",
        "is less than one lead may cost: leads wait until it is raised.",
    ),
    "budget of nothing": (
        {"job": job("ready"), "budgets": [{"daily_usd": 0, "left_usd": 0}]},
        "budget_too_small",
        "leads wait until it is raised.",
    ),
    "budget left": ({"job": job("ready"), "budgets": [{"daily_usd": 5, "left_usd": 1}]}, "queued", "has been ready"),
    "no key": (
        {"job": job("ready"), "keys": {}}, "no_key", "No Gemini key was found: public.gemini_api is empty or cannot be"
    ),
    "keys refused": (
        {"job": job("ready"), "keys": {"total": 2, "disabled": 2}}, "keys_refused", "none of the 2 can be sent"
    ),
    "keys cooling": (
        {"job": job("ready"), "keys": COOLING},
        "keys_cooling",
        "1 cooling down, 1 that cannot be sent. The next one is available again at 2026-11-23T12:00:40Z (in 40",
    ),
    "retry after the keys return": (
        {"job": job("ready", available_at=at(300), attempts=2, error_code="x", reason="y."), "keys": COOLING},
        "retry",
        "(in 5 minutes): attempt 2 of 5 failed, y (x).",
    ),
    "released for a while": (
        {"job": job("ready", available_at=at(300), error_code="x", reason="y")}, "retry", "it was released, y (x)."
    ),
    "waits for evidence": (
        {"job": job("ready", available_at=at(300), decide_after=at(0), attempts=2, error_code="x", reason="y.")},
        "retry",
        "(in 5 minutes), or earlier if another lead is answered: attempt 2 of 5 failed, y (x).",
    ),
    "no worker": ({"job": job("ready", available_at=at(-61))}, "unclaimed", "no worker claims anything"),
    "queued": ({"job": job("ready")}, "queued", "waits for a free worker. It is next."),
    "queued behind many": (
        {"job": job("ready"), "queue": {"ahead": 1000, "ahead_in_group": 7, "finished_last_minute": 30}},
        "queued",
        "1,000 or more leads are ahead of it, 7 of them with its user and tag. 30 leads finished in the last minute.",
    ),
    "queued by a replay": (
        {
            "job": job("ready", replay_id=3),
            "eligibility": SENT,
            "replays": [{"id": 3, "actor": "admin:1", "created_at": at(-60)}],
            "queue": {"fresh_ahead": 1},
        },
        "replay_queued",
        "replay 3, requested by admin:1 at 2026-11-23T11:59:00Z (60 seconds ago), behind fresh leads. At most 1 lead",
    ),
    "leased": ({"job": job("leased")}, "leased", "Worker w has been processing the lead since 2026-11-23T11:59:55Z"),
    "leased, a replay follows": ({"job": job("leased", replay_after=4)}, "leased", "works. A replay follows."),
    "leased, its worker gone": ({"job": job("leased", lease_until=at(-5))}, "leased", "of the lead, which expired"),
    "leased, not eligible any more": ({"job": job("leased"), "eligibility": NO_PROMPTS}, "leased", "Worker w"),
    "answered": (
        {"job": job("done"), "eligibility": SENT, "results": RESULT, "answered": True},
        "answered",
        "(60 seconds ago) with score 80. Its answer is in public.llm_response.",
    ),
    "answered, and its row deleted": ({"job": job("done"), "eligibility": SENT}, "answered", "llm_response is gone"),
    "answered before a replay that was unwanted": (
        {"job": job("waiting"), "eligibility": SENT, "results": RESULT}, "answered", "with score 80"
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_each_way_has_its_sentence(way: str) -> None:
    facts, code, words = WAYS[way]
    diagnosis = diagnose(snapshot(**facts))
    assert (diagnosis.code, words in diagnosis.sentence) == (code, True), diagnosis
    assert diagnosis.sentence.endswith(".")
    assert ".." not in diagnosis.sentence
    assert not diagnosis.remedy or diagnosis.remedy.endswith((".", ";", "`"))


def test_what_is_missing_comes_before_what_holds_up() -> None:
    """A pause says nothing to a lead without prompts, a key nothing to one that is held."""
    every: Facts = {"pauses": [PAUSE], "keys": {}, "budgets": [{"daily_usd": 5, "left_usd": 0}]}
    order = [
        diagnose(snapshot(**every, **facts)).code
        for facts in (
            {"eligibility": NO_PROMPTS, "job": job("ready")},
            {"job": job("held")},
            {"job": job("ready")},
        )
    ]
    assert order == ["no_prompts", "held", "paused"]
    assert diagnose(snapshot(job=job("ready"), keys={}, budgets=every["budgets"])).code == "budget_spent"


def test_remarks_tell_how_it_was_found_and_what_is_not_installed() -> None:
    found = explain(
        snapshot(
            job=job("done", source="sweep"),
            eligibility=SENT,
            webhooks=webhook(error="Couldn't resolve host name"),
            triggers={"prompts": False},
        )
    )
    assert found.remarks[0].startswith(
        "The sweep found the lead, not a webhook: the webhook of 2026-11-23T11:59:59Z (1 second ago) did not"
    )
    assert "public.prompts" in found.remarks[1]
    assert explain(snapshot(job=job("ready"))).remarks == ()
    assert "cannot send webhooks" in explain(snapshot(job=job("ready"), webhook_setup={})).remarks[0]
    lost = explain(snapshot(job=job("done", source="webhook"), eligibility=SENT, webhooks=webhook(status_code=401)))
    assert "WEBHOOK_SECRETS" in lost.remarks[0]


def test_a_problem_of_the_service_is_shown_where_it_matters() -> None:
    """A lead that waits for a worker, not one that lacks a part."""
    away = Finding("model_outage", "The model is away.")
    assert "away" in explain(snapshot(job=job("ready")), [away]).remarks[0]
    assert explain(snapshot(eligibility=NO_PROMPTS), [away]).remarks == ()


@pytest.mark.parametrize(
    ("outcome", "reason", "words"),
    [
        ("saved", None, "answered and saved."),
        ("retry", "Gemini said 503.", "failed, to be retried: Gemini said 503."),
        ("lease_expired", "the lease ran out", "the lease expired: the lease ran out."),
        ("saved_without_message", "It has escapes.", "scored and saved, but without a message: It has escapes."),
        ("a later one", None, "a later one."),
    ],
)
def test_each_attempt_is_described_in_words(outcome: str, reason: str | None, words: str) -> None:
    """Outcome and reason; an outcome that a newer database knows stands as it is."""
    attempts = [{"run": 1, "outcome": outcome, "reason": reason, "finished_at": NOW}]
    assert explain(snapshot(job=job("ready"), attempts=attempts)).attempts[0].words == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "now"),
        (1, "in 1 second"),
        (-89, "89 seconds ago"),
        (90, "in 2 minutes"),
        (-3600, "60 minutes ago"),
        (3600 * 24, "in 24 hours"),
        (-86400 * 3, "3 days ago"),
    ],
)
def test_a_moment_is_exact_and_near(seconds: float, words: str) -> None:
    assert moment(at(seconds), NOW).endswith(f"Z ({words})")


def test_the_next_step_has_a_remedy_for_each_part_that_is_missing() -> None:
    """One of two would leave the lead where it is."""
    diagnosis = diagnose(snapshot(eligibility=NO_PROMPTS | {"scrapped": False}))
    assert "scrapped to true" in diagnosis.remedy
    assert "Insert a prompts row" in diagnosis.remedy
    diagnosis = diagnose(snapshot(eligibility=NO_PROMPTS | {"tag": None}))
    assert diagnosis.remedy == "Set all_leads.tag."
