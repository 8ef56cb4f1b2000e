"""Every RPC through the real client, the gateway, the real PostgREST and a real Postgres."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from tests.conftest import Supabase
from tests.support.application import Application

from leadhook.domain.console import AuditFilter, LeadSearch
from leadhook.domain.job import Batch, ClaimedLead, ClaimRequest, LeaseRef, ParkedKey, Release, Renewal, Result, Timings
from leadhook.domain.results import Checkpoint, Message, Score, Usage
from leadhook.store import StoreError, SupabaseStore, open_store

USER = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
async def store(wired_supabase: Supabase, application: Application) -> AsyncIterator[SupabaseStore]:
    """Three eligible leads, one of them awkward, and a key."""
    group = USER, "t"
    application.bring(['"a"/b\'c', "emoji 😀", "plain"], group, name="Ada", bio="ü" * 50_000)
    application.new_group(*group)
    async with open_store(wired_supabase.url, wired_supabase.secret_key) as store:
        yield store


async def claim(store: SupabaseStore, token: UUID | None = None) -> Batch:
    return await store.claim(
        ClaimRequest(worker="w", token=token or uuid4(), limit=50, low_priority_limit=37, source="webhook")
    )


def returned(lead: ClaimedLead, answer: Checkpoint | None = None) -> Release:
    """Released unspent."""
    return Release(
        lead_id=lead.lead_id,
        fence=lead.fence,
        outcome="returned",
        error_code="shutting_down",
        reason="the service was shutting down",
        checkpoint=answer,
        usage=Usage(),
        timing=Timings(),
    )


def paid(text: str = "Hello") -> Checkpoint:
    return Checkpoint(
        prompt_version="p",
        input_version="i",
        model="m",
        score=Score(score=80, response=text, should_contact=True),
        message=Message(subject=text, message=text),
    )


def result(lease: LeaseRef, text: str = "Hello") -> Result:
    return Result(
        lead_id=lease.lead_id,
        fence=lease.fence,
        checkpoint=paid(text),
        key_fingerprint="0123456789abcdef",
        usage=Usage(calls=2, input_tokens=10, output_tokens=5),
        timing=Timings(first_call_ms=12, model_ms=34),
    )


def leases(batch: Batch) -> list[LeaseRef]:
    return [LeaseRef(lead_id=lead.lead_id, fence=lead.fence) for lead in batch.leads]


async def test_claim_brings_all_that_a_score_needs(store: SupabaseStore) -> None:
    batch = await claim(store)
    assert {lead.lead_id for lead in batch.leads} == {'"a"/b\'c', "emoji 😀", "plain"}
    assert len({id(lead.prompts) for lead in batch.leads}) == 1
    assert batch.leads[0].prompts.message_prompt == "Be brief."
    assert batch.leads[0].lead.bio == "ü" * 20_000  # cut in the database; the model sees less
    assert batch.leads[0].source == "webhook"
    assert batch.keys[0].api_key.get_secret_value() == "visibly-fake-gemini-key"
    assert (batch.renew_ms, batch.start_limit_ms) == (10_000, 15_000)
    assert batch.last_user is not None


async def test_same_token_returns_the_same_leases(store: SupabaseStore) -> None:
    """A claim whose reply was lost loses nothing."""
    token = uuid4()
    assert leases(await claim(store, token)) == leases(await claim(store, token)) != []
    assert (await claim(store)).leads == ()


async def test_result_is_written_once(store: SupabaseStore, application: Application) -> None:
    batch = await claim(store)
    saved = await store.save("w", [result(lease, "A\x00B\ud800") for lease in leases(batch)])
    again = await store.save("w", [result(lease, "other") for lease in leases(batch)])
    zombie = LeaseRef(lead_id="plain", fence=leases(batch)[0].fence - 1)
    late = await store.save("w", [result(zombie), result(LeaseRef(lead_id="nobody", fence=1))])
    assert {reply.outcome for reply in (*saved.leases, *again.leases)} == {"saved"}
    assert {reply.outcome for reply in late.leases} == {"lease_lost", "gone"}
    rows = application.run("select score, should_contact, subject from llm_response")
    assert rows == [(80, 1, "AB\ufffd")] * 3
    assert application.value("select count(*) from lead_details where sent_to_llm") == 3


async def test_paid_answer_travels_with_renewal_and_release(store: SupabaseStore) -> None:
    first, second, third = (await claim(store)).leads
    renewed = await store.renew("w", [Renewal(lead_id=first.lead_id, fence=first.fence, checkpoint=paid("renewed"))])
    released = await store.release("w", [returned(first), returned(second, paid("released")), returned(third)])
    assert [reply.outcome for reply in renewed.leases] == ["renewed"]
    assert {reply.outcome for reply in released.leases} == {"released"}
    answers = {
        lead.lead_id: lead.checkpoint.score.response if lead.checkpoint else None for lead in (await claim(store)).leads
    }
    assert answers == {first.lead_id: "renewed", second.lead_id: "released", third.lead_id: None}


async def test_parked_key_hands_nothing_out_until_it_returns(store: SupabaseStore) -> None:
    batch = await claim(store)
    fingerprint = batch.keys[0].fingerprint
    await store.park_keys([ParkedKey(fingerprint=fingerprint, reason="quota", for_ms=60_000)])
    (held,) = (lead for lead in batch.leads if lead.lead_id == "plain")
    await store.release("w", [returned(held)])
    again = await claim(store)
    assert (again.leads, again.keys) == ((), ())
    status = await store.status()
    assert (status.keys.total, status.keys.healthy, status.keys.cooling) == (1, 0, 1)
    assert status.keys.next_return_at is not None


async def test_replay_reports_each_lead(store: SupabaseStore) -> None:
    batch = await claim(store)
    await store.save("w", [result(lease) for lease in leases(batch)])
    reply = await store.replay(["plain", "nobody"], "tester", "because")
    assert {lead.lead_id: lead.outcome for lead in reply.leads} == {"plain": "queued", "nobody": "unknown"}
    assert reply.counts["queued"] == reply.counts["unknown"] == 1
    assert reply.replay_id is not None
    assert [(lead.lead_id, lead.low_priority, lead.run) for lead in (await claim(store)).leads] == [("plain", True, 2)]


async def test_console_reads_what_the_service_wrote(store: SupabaseStore) -> None:
    first, *_ = leases(await claim(store))
    await store.save("w", [result(first)])
    page = await store.search_leads(LeadSearch(score_min=80))
    assert [(lead.lead_id, lead.name, lead.score) for lead in page.leads] == [(first.lead_id, "Ada", 80)]
    assert (await store.search_leads(LeadSearch(q="ada"), limit=2)).count == 3
    given = await store.lead_input(first.lead_id)
    assert given is not None
    assert (given.lead.name, given.prompts.message_prompt) == ("Ada", "Be brief.")
    assert await store.lead_input("no one") is None
    assert sum(hour.leads_in for hour in (await store.overview()).hours) == 0
    (key,) = (await store.gemini_keys()).keys
    await store.unpark_key(key.fingerprint, "ada", "tests")
    assert (await store.failures()).groups == ()
    assert (await store.deliveries(limit=1)).deliveries[0].reason == "insert prompts"
    assert (await store.progress()).replays == ()
    (entry,) = (await store.audit(AuditFilter(action="key_unpark"))).entries
    assert (entry.actor, entry.reason, entry.database_user) == ("ada", "tests", "authenticator")
    with pytest.raises(StoreError) as refused:
        await store.search_leads(LeadSearch(state="dead"), after="{")
    assert refused.value.kind == "caller_bug"
