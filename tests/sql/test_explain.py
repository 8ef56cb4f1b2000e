"""Why a lead is not processed: each cause is produced in a real database and explained from it."""

from decimal import Decimal
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from tests.conftest import poll
from tests.sql.conftest import Row, Sql

from leadhook.domain.diagnosis import Explanation, explain
from leadhook.domain.lead_snapshot import LeadSnapshot
from leadhook.local.database import Database

TRIGGERED = {"all_leads": True, "lead_details": True, "prompts": True, "gemini_api": True}


def explanation(db: Sql, lead_id: str = "a") -> Explanation:
    """Explain the lead from the database."""
    return explain(LeadSnapshot.model_validate(db.rpc("leadhook_explain", p_lead_id=lead_id)))


def parts(found: Explanation) -> dict[str, bool]:
    """Each part of eligibility."""
    assert found.eligibility is not None
    return found.eligibility.model_dump(exclude={"user_id", "tag"})


def age_outbox(db: Sql, seconds: int = 60) -> None:
    """Make all changes and webhooks look older."""
    db.run("update leadhook.outbox set changed_at = changed_at - make_interval(secs => %(s)s)", s=seconds)
    db.run("update leadhook.webhooks set sent_at = sent_at - make_interval(secs => %(s)s)", s=seconds)


@pytest.fixture
def keyed(wired: Sql) -> Sql:
    """A wired database with a Gemini key."""
    wired.key()
    return wired


@pytest.fixture
def ready(keyed: Sql) -> Sql:
    """The same with a lead `a` that is ready."""
    keyed.eligible_lead("a")
    keyed.apply_outbox()
    return keyed


def test_unknown_lead(wired: Sql) -> None:
    """No row in all_leads; a row in lead_details alone is mentioned."""
    found = explanation(wired)
    assert (found.diagnosis, found.state) == ("unknown", "unknown")
    assert found.sentence == "The lead is unknown: public.all_leads has no row with this lead_id."
    wired.details("a")
    assert "although public.lead_details has one" in explanation(wired).sentence


def test_deleted_lead(ready: Sql) -> None:
    """It is unknown, and what we hold goes next."""
    ready.run("delete from public.all_leads")
    found = explanation(ready)
    assert (found.diagnosis, found.state) == ("unknown", "ready")
    assert "was deleted" in found.sentence


def test_no_details_row(keyed: Sql) -> None:
    """All that is missing stands in the one sentence."""
    keyed.lead("a")
    found = explanation(keyed)
    assert (found.diagnosis, found.state) == ("no_details", "untracked")
    assert "lead_details has no row for it, and there is no prompts row" in found.sentence
    assert parts(found) == {
        "known": True, "has_details": False, "scrapped": True, "has_prompts": False, "unsent": False, "eligible": False
    }  # fmt: skip


def test_not_scrapped(keyed: Sql) -> None:
    """False or null."""
    keyed.lead("a", scrapped=False)
    keyed.details("a")
    keyed.prompts()
    keyed.apply_outbox()
    found = explanation(keyed)
    assert (found.diagnosis, found.state) == ("not_scrapped", "waiting")
    assert found.sentence == "The lead is not eligible: all_leads.scrapped is not true."


def test_no_prompts_row_for_its_user_and_tag(keyed: Sql) -> None:
    """The tags that the user has prompts for are named: they may be spelt otherwise."""
    keyed.lead("a")
    keyed.details("a")
    keyed.prompts(tag="Founders")
    found = explanation(keyed)
    assert found.diagnosis == "no_prompts"
    assert f"no prompts row for user {keyed.USER} and tag 'founders'" in found.sentence
    assert "has prompts for 'Founders'" in found.sentence


def test_already_sent_by_something_else(keyed: Sql) -> None:
    """sent_to_llm is true without us."""
    keyed.eligible_lead("a")
    keyed.run("update public.lead_details set sent_to_llm = true")
    keyed.apply_outbox()
    found = explanation(keyed)
    assert (found.diagnosis, found.state) == ("already_sent", "waiting")
    assert "something other than leadhook set sent_to_llm to true (llm_response has no answer)" in found.sentence


def test_changed_and_not_applied(keyed: Sql) -> None:
    """A moment ago, and its webhook is on the way."""
    keyed.eligible_lead("a")
    found = explanation(keyed)
    assert (found.diagnosis, found.state) == ("change_pending", "untracked")
    assert "the next claim applies the change. Changes waiting to be applied: 3 changes." in found.sentence
    assert found.webhooks[0].queued
    assert found.eligibility is not None
    assert found.eligibility.eligible


def test_changed_by_a_prompts_row(keyed: Sql) -> None:
    """The user presses run: a waiting lead wakes with the next claim."""
    keyed.lead("a")
    keyed.details("a")
    keyed.apply_outbox()
    keyed.prompts()
    found = explanation(keyed)
    assert (found.diagnosis, found.state) == ("change_pending", "waiting")
    assert [change.kind for change in found.outbox.of_lead] == ["prompts"]


def test_held_backlog(db: Sql) -> None:
    """And the command that lets it go, quoted for a shell."""
    db.eligible_lead("a", tag="it's")
    db.run("update leadhook.controls set installed_at = clock_timestamp() + interval '1 hour'")
    while not db.rpc("leadhook_sweep", p_worker="w")["round_finished"]:
        pass
    found = explanation(db)
    assert (found.diagnosis, found.state) == ("held", "held")
    assert found.next_step is not None
    assert f"--user {db.USER} --tag 'it'\"'\"'s'` releases" in found.next_step
    db.run("insert into public.llm_response (lead_id, score) values ('a', 3)")
    assert "--redo" in (explanation(db).next_step or "")


def test_before_the_first_round(keyed: Sql) -> None:
    """It was there before the triggers: the first round will hold it."""
    keyed.eligible_lead("a")
    keyed.run("delete from leadhook.outbox")
    found = explanation(keyed)
    assert (found.diagnosis, found.state) == ("unnoticed", "untracked")
    assert "The first round of the sweep has not finished; it adds the lead to the held backlog." in found.sentence


def test_no_key(wired: Sql) -> None:
    """gemini_api is empty."""
    wired.eligible_lead("a")
    wired.apply_outbox()
    found = explanation(wired)
    assert (found.diagnosis, found.state) == ("no_key", "ready")
    assert "public.gemini_api is empty or cannot be read" in found.sentence


def park(db: Sql, for_ms: int | None) -> None:
    """Let the only key rest."""
    (key,) = db.rows("select fingerprint from leadhook.healthy_keys()")
    db.park_keys({"fingerprint": key["fingerprint"], "reason": "Google says so.", "for_ms": for_ms})


def test_all_keys_cooling(ready: Sql) -> None:
    """Until when, and why."""
    park(ready, 60_000)
    found = explanation(ready)
    assert found.diagnosis == "keys_cooling"
    assert "1 cooling down, 0 that cannot be sent. The next one is available again at " in found.sentence
    assert found.sentence.endswith(": Google says so.")
    assert "Z (in 60 seconds)" in found.sentence


def test_all_keys_refused(ready: Sql) -> None:
    """No time would help."""
    park(ready, None)
    found = explanation(ready)
    assert found.diagnosis == "keys_refused"
    assert "none of the 1 can be sent" in found.sentence
    assert found.sentence.endswith(": Google says so.")


@pytest.mark.parametrize("whose", ["everything", "user", "tag"])
def test_paused(ready: Sql, whose: str) -> None:
    """By whom, since when, why, and the command that ends it."""
    user, tag = {"everything": (None, None), "user": (ready.USER, None), "tag": (ready.USER, ready.TAG)}[whose]
    ready.rpc("leadhook_pause", p_user_id=user, p_tag=tag, p_actor="ada", p_reason="too many")
    other = ready.USER.__class__(int=7)
    ready.rpc("leadhook_pause", p_user_id=other, p_tag=ready.TAG, p_actor="bob")
    found = explanation(ready)
    assert (found.diagnosis, found.state, len(found.pauses)) == ("paused", "ready", 1)
    what = {
        "everything": "All work",
        "user": f"The work of user {user}",
        "tag": f"The work of user {user}, tag founders",
    }[whose]
    assert f"{what} has been paused since " in found.sentence
    assert found.sentence.endswith(" by ada: too many.")
    command = {"everything": "", "user": f" --user {user}", "tag": f" --user {user} --tag founders"}[whose]
    assert found.next_step == f"`leadhook resume{command}` ends the pause."


@pytest.mark.parametrize("whose", ["all", "user"])
def test_budget_spent(ready: Sql, whose: str) -> None:
    """How much is left, and when it goes on; a reservation counts, and so does what a lead was turned away for."""
    user = ready.USER if whose == "user" else None
    ready.rpc("leadhook_set_budget", p_user_id=user, p_daily_usd=Decimal("0.5"), p_actor="ada")
    assert explanation(ready).diagnosis == "queued"
    price = {"lead_usd": 0.4, "byte_usd": 0, "most_lead_bytes": 0, "most_prompts_bytes": 0}
    assert len(claim_at(ready, price)) == 1
    ready.eligible_lead("b")
    ready.apply_outbox()
    claim_at(ready, price)
    found = explanation(ready, "b")
    assert (found.diagnosis, found.state) == ("budget_spent", "ready")
    owner = f"user {ready.USER}" if whose == "user" else "all users"
    assert f"budget of $0.5 for {owner} is spent ($0.10 left, and a lead may cost up to $0.40)" in found.sentence
    assert "leads wait until " in found.sentence
    assert (found.next_step or "").startswith("`leadhook budget set DOLLARS" + (f" --user {user}`" if user else "`"))
    assert "T00:00:00Z (in " in found.sentence


def claim_at(db: Sql, price: Row) -> list[Row]:
    """Claim as a service that knows its prices."""
    leads: list[Row] = db.rpc(
        "leadhook_claim", p_token=uuid4(), p_worker="w", p_limit=5, p_low_priority_limit=5, p_price=price
    )["leads"]
    return leads


def test_retry_at(ready: Sql) -> None:
    """When, which attempt failed, and why."""
    (lead,) = ready.claim()["leads"]
    ready.release(ready.release_of(lead, delay_ms=600_000))
    found = explanation(ready)
    assert (found.diagnosis, found.state) == ("retry", "ready")
    assert "Z (in 10 minutes): attempt 1 of 5 failed, Gemini said 503 (gemini_unavailable)" in found.sentence
    assert [(a.outcome, a.error_code, a.calls, a.words) for a in found.attempts] == [
        ("retry", "gemini_unavailable", 1, "failed, to be retried: Gemini said 503.")
    ]


def test_leased_by_whom_until_when(ready: Sql) -> None:
    """And, once it is over, that it will be taken over."""
    ready.claim(worker="host/7")
    found = explanation(ready)
    assert (found.diagnosis, found.state) == ("leased", "leased")
    assert "Worker host/7 has been processing the lead since" in found.sentence
    assert "Z (in 30 seconds) and is renewed" in found.sentence
    ready.age_job("a", 60)
    assert "its lease of the lead, which expired at" in explanation(ready).sentence


def test_dead_with_its_reason(ready: Sql) -> None:
    """In the sentence."""
    (lead,) = ready.claim()["leads"]
    blocked = ready.release_of(lead, "dead", error_code="answer_blocked", reason="The model refused.")
    ready.release(blocked)
    found = explanation(ready)
    assert (found.diagnosis, found.state) == ("dead", "dead")
    assert ": The model refused (answer_blocked)." in found.sentence


def test_a_lead_that_cannot_be_checked(db: Sql) -> None:
    """The database's words; the others are not concerned."""
    db.eligible_lead("bad")
    db.poison()
    found = explanation(db, "bad")
    assert (found.diagnosis, found.eligibility) == ("evaluation_failed", None)
    assert "division by zero" in found.sentence


@pytest.mark.usefixtures("webhook_worker")
def test_webhook_lost_on_the_way(keyed: Sql) -> None:
    """No one listens: pg_net's own words, at once."""
    keyed.eligible_lead("a")
    poll(lambda: keyed.count("net._http_response") == keyed.count("leadhook.webhooks"))
    found = explanation(keyed)
    assert found.diagnosis == "webhook_lost"
    assert "did not arrive; pg_net reports: Couldn't connect to server" in found.sentence
    assert found.next_step is not None
    assert found.next_step.startswith("Check that the service runs and that the database reaches leadhook_webhook_url")
    keyed.run("update net._http_response set created = created - interval '60 s'")
    age_outbox(keyed)
    keyed.apply_outbox("sweep")
    assert explanation(keyed).remarks[0].startswith("The sweep found the lead, not a webhook: the webhook of ")
    assert "Couldn't connect to server" in explanation(keyed).remarks[0]


def test_the_webhook_of_a_change_is_that_of_its_transaction(keyed: Sql) -> None:
    """Others are nearer in time; the second statement of a transaction sends no webhook."""
    with keyed.transaction():
        keyed.lead("a")
        keyed.details("a")
        keyed.prompts()
    keyed.lead("other")
    keyed.run("update leadhook.outbox set changed_at = clock_timestamp() where 'a' = any (lead_ids)")
    keyed.run(
        "update leadhook.webhooks set sent_at = sent_at - interval '10 s'"
        " where id = (select min(r.id) + 1 from leadhook.webhooks as r)"
    )
    assert [webhook.reason for webhook in explanation(keyed).webhooks] == ["insert all_leads"]
    keyed.apply_outbox()
    assert len(explanation(keyed).webhooks) > 0


def test_webhook_never_sent(keyed: Sql) -> None:
    """pg_net's worker does not run."""
    keyed.eligible_lead("a")
    age_outbox(keyed)
    found = explanation(keyed)
    assert found.diagnosis == "webhook_lost"
    assert "still in pg_net's queue" in found.sentence
    assert "net.worker_restart()" in (found.next_step or "")


def test_webhook_forgotten_by_a_restart(keyed: Sql) -> None:
    """pg_net's tables are unlogged."""
    keyed.eligible_lead("a")
    keyed.run("truncate net.http_request_queue")
    age_outbox(keyed)
    found = explanation(keyed)
    assert found.diagnosis == "webhook_lost"
    assert "has no answer from pg_net" in found.sentence


def test_webhook_without_an_address(keyed: Sql) -> None:
    """Vault was emptied."""
    keyed.run("delete from vault.secrets where name = 'leadhook_webhook_url'")
    keyed.eligible_lead("a")
    found = explanation(keyed)
    assert found.diagnosis == "webhook_lost"
    assert "could not be handed to pg_net: Vault holds no leadhook_webhook_url" in found.sentence
    assert "leadhook webhooks install" in (found.next_step or "")
    assert "The database cannot send webhooks" in found.remarks[-1]


@pytest.mark.parametrize(
    ("change", "tables"),
    [
        ("drop trigger leadhook_insert on public.lead_details", "public.lead_details"),
        ("alter table public.all_leads disable trigger user", "public.all_leads"),
    ],
)
def test_trigger_missing(keyed: Sql, change: LiteralString, tables: str) -> None:
    """Which one, and the command; the lead came in through the gap."""
    keyed.run(change)
    keyed.eligible_lead("a")
    keyed.run("delete from leadhook.outbox")
    found = explanation(keyed)
    assert (found.diagnosis, found.state) == ("trigger_missing", "untracked")
    assert f"A trigger of leadhook is missing or disabled on {tables}." in found.sentence
    assert "leadhook webhooks install" in (found.next_step or "")
    assert {t for t, there in found.triggers.items() if not there} == {tables.removeprefix("public.")}


def test_change_that_fired_no_trigger(keyed: Sql) -> None:
    """Nothing is missing now; the sweep finds it."""
    keyed.control(first_round_finished_at="now")
    keyed.lead("a", scrapped=False)
    keyed.details("a")
    keyed.prompts()
    keyed.apply_outbox()
    keyed.run("alter table public.all_leads disable trigger user")
    keyed.run("update public.all_leads set scrapped = true")
    keyed.run("alter table public.all_leads enable trigger user")
    found = explanation(keyed)
    assert (found.diagnosis, found.state) == ("unnoticed", "waiting")
    assert "The next round of the sweep" in found.sentence


def test_ready_behind_others(keyed: Sql) -> None:
    """How many are before it, roughly: in its own group, and in all."""
    for lead_id in ("x", "y", "z"):
        keyed.eligible_lead(lead_id)
        keyed.apply_outbox()
    keyed.eligible_lead("other", tag="other")
    keyed.apply_outbox()
    keyed.eligible_lead("a")
    keyed.apply_outbox()
    found = explanation(keyed)
    assert (found.diagnosis, found.state) == ("queued", "ready")
    assert "At most 4 leads are ahead of it, 3 of them with its user and tag" in found.sentence
    assert "It is next." in explanation(keyed, "x").sentence


def test_ready_and_no_service_runs(ready: Sql) -> None:
    """A minute without a claim."""
    ready.age_job("a", 120)
    found = explanation(ready)
    assert found.diagnosis == "unclaimed"
    assert "Z (2 minutes ago), but no worker claims anything" in found.sentence


def test_answered_with_its_score(ready: Sql) -> None:
    """Score, subject, prompt version and cost; and when the application deleted the row."""
    (lead,) = ready.claim()["leads"]
    ready.save(ready.result_of(lead, 80))
    found = explanation(ready)
    assert (found.diagnosis, found.state, found.next_step) == ("answered", "done", None)
    assert "with score 80. Its answer is in public.llm_response" in found.sentence
    (result,) = found.results
    assert (result.score, result.subject, result.prompt_version, result.written) == (80, "A subject", "p1", True)
    assert (result.response, result.message) == ("A reason", "A message")
    assert found.answer is not None
    assert (found.answer.score, found.answer.subject) == (80, "A subject")
    (attempt,) = found.attempts
    assert (attempt.outcome, attempt.calls, attempt.input_tokens, attempt.source) == ("saved", 2, 100, "webhook")
    ready.run("delete from public.llm_response")
    assert "is gone" in explanation(ready).sentence
    assert explanation(ready).answer is None


def test_replay_queued(ready: Sql) -> None:
    """By whom; that it was sent before does not matter."""
    (lead,) = ready.claim()["leads"]
    ready.save(ready.result_of(lead, 30))
    reply = ready.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="admin:1", p_reason="again")
    found = explanation(ready)
    assert (found.diagnosis, found.state) == ("replay_queued", "ready")
    assert f"queued for replay {reply['replay_id']}, requested by admin:1 at" in found.sentence
    assert [(r.id, r.actor, r.reason) for r in found.replays] == [(reply["replay_id"], "admin:1", "again")]
    (lead,) = ready.claim()["leads"]
    ready.release(ready.release_of(lead, "dead"))
    assert explanation(ready).diagnosis == "dead"


def test_explaining_changes_nothing_and_needs_no_extensions(wired: Sql, wired_database: Database) -> None:
    """It runs in a read-only transaction, also where pg_net and Vault are missing."""
    wired.eligible_lead("a")
    with psycopg.connect(wired_database.admin_conninfo) as admin:
        admin.execute("drop extension pg_net cascade")
        admin.execute("drop extension supabase_vault cascade")
    with wired.transaction():
        wired.run("set transaction read only")
        assert wired.value("select public.leadhook_explain('a')")["lead_id"] == "a"


@pytest.mark.parametrize("lead_id", ["", None])
def test_an_explanation_names_a_lead(db: Sql, lead_id: str | None) -> None:
    """A bug of the caller's."""
    with pytest.raises(psycopg.Error) as caught:
        db.rpc("leadhook_explain", p_lead_id=lead_id)
    assert caught.value.sqlstate == "PT400"


def test_any_id_is_explained(keyed: Sql) -> None:
    """Quotes, slashes, blanks and emoji; a plain webhook of the dashboard counts as one of the triggers."""
    lead_id = "/a'\"\\ %20;-- 😀/"
    keyed.eligible_lead(lead_id)
    assert explanation(keyed, lead_id).lead_id == lead_id
    assert explanation(keyed, lead_id).triggers == TRIGGERED
