"""Why a lead is not processed: each cause is produced in a real database and explained from it."""

from datetime import timedelta
from decimal import Decimal
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from tests.conftest import poll
from tests.sql.conftest import Row, Sql

from leadhook.domain.diagnosis import Explanation, explain
from leadhook.domain.lead_snapshot import Job, LeadSnapshot
from leadhook.local.database import Database

TRIGGERED = {"all_leads": True, "lead_details": True, "prompts": True, "gemini_api": True}


def explanation(db: Sql, lead_id: str = "a") -> Explanation:
    """Explain the lead from the database."""
    return explain(LeadSnapshot.model_validate(db.rpc("leadhook_explain", p_lead_id=lead_id)))


def explained(db: Sql, diagnosis: str, state: str, lead_id: str = "a") -> Explanation:
    """Check what is said of a lead, and return the facts it is said from."""
    found = explanation(db, lead_id)
    assert (found.diagnosis, found.state) == (diagnosis, state)
    return found


def parts(found: Explanation) -> dict[str, bool]:
    """Each part of eligibility."""
    assert found.eligibility is not None
    return found.eligibility.model_dump(exclude={"user_id", "tag"})


def job_of(found: Explanation) -> Job:
    assert found.job is not None
    return found.job


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


def test_a_lead_without_a_row_in_all_leads_is_unknown(wired: Sql) -> None:
    assert not parts(explained(wired, "unknown", "unknown"))["has_details"]
    wired.details("a")
    assert parts(explained(wired, "unknown", "unknown"))["has_details"]


def test_a_deleted_lead_is_unknown_and_keeps_its_state_until_it_is_erased(ready: Sql) -> None:
    ready.run("delete from public.all_leads")
    explained(ready, "unknown", "ready")


def test_a_lead_without_details_shows_everything_that_is_missing(keyed: Sql) -> None:
    keyed.lead("a")
    assert parts(explained(keyed, "no_details", "untracked")) == {
        "known": True, "has_details": False, "scrapped": True, "has_prompts": False, "unsent": False, "eligible": False
    }  # fmt: skip


def test_a_lead_that_is_not_scrapped_waits(keyed: Sql) -> None:
    keyed.lead("a", scrapped=False)
    keyed.details("a")
    keyed.prompts()
    keyed.apply_outbox()
    assert not parts(explained(keyed, "not_scrapped", "waiting"))["scrapped"]


def test_a_lead_without_prompts_shows_the_tags_that_have_some(keyed: Sql) -> None:
    """They may be spelt otherwise."""
    keyed.lead("a")
    keyed.details("a")
    keyed.prompts(tag="Founders")
    found = explained(keyed, "no_prompts", "untracked")
    assert (found.eligibility and found.eligibility.tag, found.tags_of_user) == ("founders", ("Founders",))


def test_a_lead_that_something_else_sent_is_already_sent(keyed: Sql) -> None:
    keyed.eligible_lead("a")
    keyed.run("update public.lead_details set sent_to_llm = true")
    keyed.apply_outbox()
    assert not explained(keyed, "already_sent", "waiting").answered


def test_a_change_is_pending_until_it_is_applied(keyed: Sql) -> None:
    """Its webhook is on the way."""
    keyed.eligible_lead("a")
    found = explained(keyed, "change_pending", "untracked")
    assert (found.outbox.total, found.webhooks[0].queued, parts(found)["eligible"]) == (3, True, True)


def test_a_new_prompts_row_is_a_pending_change_of_the_leads_it_concerns(keyed: Sql) -> None:
    keyed.lead("a")
    keyed.details("a")
    keyed.apply_outbox()
    keyed.prompts()
    found = explained(keyed, "change_pending", "waiting")
    assert [change.kind for change in found.outbox.of_lead] == ["prompts"]


def test_a_held_lead_shows_the_command_that_releases_it(db: Sql) -> None:
    """Quoted for a shell; an answered lead needs one word more."""
    db.eligible_lead("a", tag="it's")
    db.run("update leadhook.controls set installed_at = clock_timestamp() + interval '1 hour'")
    while not db.rpc("leadhook_sweep", p_worker="w")["round_finished"]:
        pass
    found = explained(db, "held", "held")
    assert f"--user {db.USER} --tag 'it'\"'\"'s'` releases" in (found.next_step or "")
    db.run("insert into public.llm_response (lead_id, score) values ('a', 3)")
    assert "--redo" in (explanation(db).next_step or "")


def test_a_lead_from_before_the_triggers_is_unnoticed_until_the_first_round(keyed: Sql) -> None:
    keyed.eligible_lead("a")
    keyed.run("delete from leadhook.outbox")
    assert explained(keyed, "unnoticed", "untracked").first_round_finished_at is None


def test_a_ready_lead_waits_where_there_is_no_key(wired: Sql) -> None:
    wired.eligible_lead("a")
    wired.apply_outbox()
    assert explained(wired, "no_key", "ready").keys.total == 0


@pytest.mark.parametrize(("for_ms", "diagnosis"), [(60_000, "keys_cooling"), (None, "keys_refused")])
def test_a_ready_lead_waits_while_its_only_key_rests(ready: Sql, for_ms: int | None, diagnosis: str) -> None:
    """For a time, or until its row changes."""
    (key,) = ready.rows("select fingerprint from leadhook.healthy_keys()")
    ready.park_keys({"fingerprint": key["fingerprint"], "reason": "Google says so.", "for_ms": for_ms})
    found = explained(ready, diagnosis, "ready")
    assert [key.reason for key in found.keys.parked] == ["Google says so."]
    if for_ms is None:
        assert (found.keys.disabled, found.keys.next_return_at) == (1, None)
    else:
        assert found.keys.cooling == 1
        assert found.keys.next_return_at is not None
        assert timedelta(seconds=50) < found.keys.next_return_at - found.now <= timedelta(seconds=60)


@pytest.mark.parametrize("whose", ["everything", "user", "tag"])
def test_a_paused_lead_shows_who_paused_it_why_and_the_command_that_resumes_it(ready: Sql, whose: str) -> None:
    user, tag, command = {
        "everything": (None, None, ""),
        "user": (ready.USER, None, f" --user {ready.USER}"),
        "tag": (ready.USER, ready.TAG, f" --user {ready.USER} --tag {ready.TAG}"),
    }[whose]
    ready.rpc("leadhook_pause", p_user_id=user, p_tag=tag, p_actor="ada", p_reason="too many")
    ready.rpc("leadhook_pause", p_user_id=UUID(int=7), p_tag=ready.TAG, p_actor="bob")
    found = explained(ready, "paused", "ready")
    pauses = [(pause.user_id, pause.tag, pause.actor, pause.reason) for pause in found.pauses]
    assert pauses == [(user, tag, "ada", "too many")]
    assert found.next_step == f"`leadhook resume{command}` ends the pause."


@pytest.mark.parametrize("whose", ["all", "user"])
def test_a_lead_over_budget_shows_what_is_left_and_what_it_needs(ready: Sql, whose: str) -> None:
    """A reservation counts, and so does what a lead was turned away for."""
    user = ready.USER if whose == "user" else None
    ready.rpc("leadhook_set_budget", p_user_id=user, p_daily_usd=Decimal("0.5"), p_actor="ada")
    explained(ready, "queued", "ready")
    price = {"lead_usd": 0.4, "byte_usd": 0, "most_lead_bytes": 0, "most_prompts_bytes": 0}
    assert len(claim_at(ready, price)) == 1
    ready.eligible_lead("b")
    ready.apply_outbox()
    claim_at(ready, price)
    found = explained(ready, "budget_spent", "ready", "b")
    budgets = [(budget.user_id, budget.daily_usd, budget.left_usd, budget.needed_usd) for budget in found.budgets]
    assert budgets == [(user, 0.5, 0.1, 0.4)]
    assert (found.next_step or "").startswith("`leadhook budget set DOLLARS" + (f" --user {user}`" if user else "`"))


def claim_at(db: Sql, price: Row) -> list[Row]:
    """Claim as a service that knows its prices."""
    leads: list[Row] = db.rpc(
        "leadhook_claim", p_token=uuid4(), p_worker="w", p_limit=5, p_low_priority_limit=5, p_price=price
    )["leads"]
    return leads


def test_a_lead_that_is_retried_shows_when_and_what_failed(ready: Sql) -> None:
    (lead,) = ready.claim()["leads"]
    ready.release(ready.release_of(lead, delay_ms=600_000))
    found = explained(ready, "retry", "ready")
    assert (job_of(found).attempts, job_of(found).error_code) == (1, "gemini_unavailable")
    assert timedelta(minutes=9) < job_of(found).available_at - found.now <= timedelta(minutes=10)
    assert [(a.outcome, a.error_code, a.calls, a.words) for a in found.attempts] == [
        ("retry", "gemini_unavailable", 1, "failed, to be retried: Gemini said 503.")
    ]


def test_a_leased_lead_shows_its_worker_and_the_end_of_its_lease(ready: Sql) -> None:
    ready.claim(worker="host/7")
    for age_s, left_s in ((0, 30), (60, -30)):
        ready.age_job("a", age_s)
        found = explained(ready, "leased", "leased")
        job = job_of(found)
        assert job.worker == "host/7"
        assert job.lease_until is not None
        assert timedelta(seconds=left_s - 10) < job.lease_until - found.now <= timedelta(seconds=left_s)


def test_a_dead_lead_shows_its_reason(ready: Sql) -> None:
    (lead,) = ready.claim()["leads"]
    blocked = ready.release_of(lead, "dead", error_code="answer_blocked", reason="The model refused.")
    ready.release(blocked)
    job = job_of(explained(ready, "dead", "dead"))
    assert (job.error_code, job.reason) == ("answer_blocked", "The model refused.")


def test_a_lead_that_cannot_be_checked_shows_the_databases_error(db: Sql) -> None:
    db.eligible_lead("bad")
    db.poison()
    found = explained(db, "evaluation_failed", "untracked", "bad")
    assert found.eligibility is None
    assert "division by zero" in (found.failure or "")


@pytest.mark.usefixtures("webhook_worker")
def test_a_webhook_that_reaches_no_service_is_lost_in_pg_nets_words(keyed: Sql) -> None:
    keyed.eligible_lead("a")
    poll(lambda: keyed.count("net._http_response") == keyed.count("leadhook.webhooks"))
    found = explained(keyed, "webhook_lost", "untracked")
    assert found.webhooks[0].error == "Couldn't connect to server"
    assert (found.next_step or "").startswith("Check that the service runs and that the database reaches")
    keyed.run("update net._http_response set created = created - interval '60 s'")
    age_outbox(keyed)
    keyed.apply_outbox("sweep")
    found = explanation(keyed)
    assert (job_of(found).source, found.webhooks[0].error) == ("sweep", "Couldn't connect to server")


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


def test_a_webhook_that_pg_net_never_sent_is_lost(keyed: Sql) -> None:
    keyed.eligible_lead("a")
    age_outbox(keyed)
    found = explained(keyed, "webhook_lost", "untracked")
    assert found.webhooks[0].queued
    assert "net.worker_restart()" in (found.next_step or "")


def test_a_webhook_that_pg_net_forgot_is_lost(keyed: Sql) -> None:
    """Its tables are unlogged: a restart empties them."""
    keyed.eligible_lead("a")
    keyed.run("truncate net.http_request_queue")
    age_outbox(keyed)
    webhook = explained(keyed, "webhook_lost", "untracked").webhooks[0]
    assert (webhook.sent, webhook.queued, webhook.status_code, webhook.error) == (True, False, None, None)


def test_a_webhook_without_an_address_is_lost(keyed: Sql) -> None:
    keyed.run("delete from vault.secrets where name = 'leadhook_webhook_url'")
    keyed.eligible_lead("a")
    found = explained(keyed, "webhook_lost", "untracked")
    assert (found.webhooks[0].sent, found.webhook_setup.url_set) == (False, False)
    assert "Vault holds no leadhook_webhook_url" in (found.webhooks[0].error or "")
    assert "leadhook webhooks install" in (found.next_step or "")


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("drop trigger leadhook_insert on public.lead_details", "lead_details"),
        ("alter table public.all_leads disable trigger user", "all_leads"),
    ],
)
def test_a_lead_inserted_while_a_trigger_was_missing_shows_which(keyed: Sql, change: LiteralString, table: str) -> None:
    keyed.run(change)
    keyed.eligible_lead("a")
    keyed.run("delete from leadhook.outbox")
    found = explained(keyed, "trigger_missing", "untracked")
    assert found.missing_triggers == (table,)
    assert "leadhook webhooks install" in (found.next_step or "")


def test_a_change_that_fired_no_trigger_is_unnoticed_until_the_next_round(keyed: Sql) -> None:
    keyed.control(first_round_finished_at="now")
    keyed.lead("a", scrapped=False)
    keyed.details("a")
    keyed.prompts()
    keyed.apply_outbox()
    keyed.run("alter table public.all_leads disable trigger user")
    keyed.run("update public.all_leads set scrapped = true")
    keyed.run("alter table public.all_leads enable trigger user")
    found = explained(keyed, "unnoticed", "waiting")
    assert (found.missing_triggers, found.first_round_finished_at is None) == ((), False)


def test_a_queued_lead_shows_how_many_are_ahead(keyed: Sql) -> None:
    """Of its group, and in all."""
    for lead_id, tag in (("x", keyed.TAG), ("y", keyed.TAG), ("z", keyed.TAG), ("other", "other"), ("a", keyed.TAG)):
        keyed.eligible_lead(lead_id, tag=tag)
        keyed.apply_outbox()
    for lead_id, ahead in (("a", (4, 3)), ("x", (0, 0))):
        queue = explained(keyed, "queued", "ready", lead_id).queue
        assert (queue.ahead, queue.ahead_in_group) == ahead


def test_a_lead_that_nothing_has_claimed_for_a_minute_is_unclaimed(ready: Sql) -> None:
    ready.age_job("a", 120)
    explained(ready, "unclaimed", "ready")


def test_an_answered_lead_shows_its_answer_and_what_it_cost(ready: Sql) -> None:
    """The result stays where the application deletes its row."""
    (lead,) = ready.claim()["leads"]
    ready.save(ready.result_of(lead, 80))
    found = explained(ready, "answered", "done")
    (result,) = found.results
    assert (result.score, result.subject, result.prompt_version, result.written) == (80, "A subject", "p1", True)
    assert (result.response, result.message) == ("A reason", "A message")
    assert found.answer is not None
    assert (found.answer.score, found.answer.subject) == (80, "A subject")
    (attempt,) = found.attempts
    assert (attempt.outcome, attempt.calls, attempt.input_tokens, attempt.source) == ("saved", 2, 100, "webhook")
    ready.run("delete from public.llm_response")
    found = explained(ready, "answered", "done")
    assert (found.answer, found.results) == (None, (result,))


def test_a_lead_queued_by_a_replay_shows_which(ready: Sql) -> None:
    """That it was sent before does not matter."""
    (lead,) = ready.claim()["leads"]
    ready.save(ready.result_of(lead, 30))
    reply = ready.rpc("leadhook_replay", p_lead_ids=["a"], p_actor="admin:1", p_reason="again")
    found = explained(ready, "replay_queued", "ready")
    assert job_of(found).replay_id == reply["replay_id"]
    assert [(r.id, r.actor, r.reason) for r in found.replays] == [(reply["replay_id"], "admin:1", "again")]
    (lead,) = ready.claim()["leads"]
    ready.release(ready.release_of(lead, "dead"))
    explained(ready, "dead", "dead")


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
