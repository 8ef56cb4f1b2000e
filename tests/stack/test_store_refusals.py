"""What the real PostgREST, gateway and Postgres answer when something is wrong."""

from uuid import uuid4

import pytest
from tests.conftest import Supabase

from leadhook.domain.job import ClaimRequest
from leadhook.store import StoreError, SupabaseStore, open_store


async def refusal(url: str, key: str) -> StoreError:
    async with open_store(url, key) as store:
        return await refused_claim(store)


async def refused_claim(store: SupabaseStore, *, limit: int = 1) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await store.claim(ClaimRequest(worker="w", token=uuid4(), limit=limit, low_priority_limit=1, source="start"))
    return caught.value


async def test_an_anon_key_is_named_as_the_wrong_one(supabase: Supabase) -> None:
    """Both kinds; grants are never weakened for it."""
    for key in (supabase.keys.anon_key, supabase.keys.publishable_key):
        error = await refusal(supabase.url, key)
        assert error.kind == "misconfigured"
        assert "key" in error.reason


async def test_foreign_key_is_refused(supabase: Supabase) -> None:
    error = await refusal(supabase.url, supabase.keys.service_role_key[:-3] + "abc")
    assert (error.kind, error.code) == ("misconfigured", "key_refused")


async def test_both_kinds_of_secret_key_work(supabase: Supabase) -> None:
    for key in (supabase.secret_key, supabase.keys.service_role_key):
        async with open_store(supabase.url, key) as store:
            assert (await store.sweep("w")).busy is False


async def test_missing_function_sends_to_migrate(supabase: Supabase) -> None:
    """PostgREST's cache still knows it or not."""
    with supabase.database.connect() as owner:
        owner.execute("drop function public.leadhook_claim")
    error = await refusal(supabase.url, supabase.secret_key)
    assert error.kind == "misconfigured"
    assert "leadhook migrate" in error.reason


async def test_missing_column_of_the_application_is_a_matter_of_configuration(supabase: Supabase) -> None:
    with supabase.database.connect() as owner:
        owner.execute("insert into gemini_api (api_key) values ('visibly-fake-gemini-key')")
        owner.execute("insert into leadhook.outbox (kind, n, lead_ids) values ('leads', 1, array['a'])")
        owner.execute("alter table public.all_leads drop column scrapped")
    error = await refusal(supabase.url, supabase.secret_key)
    assert (error.kind, error.code) == ("misconfigured", "42703")
    assert "scrapped" in error.reason


async def test_caller_bug_is_called_one(supabase: Supabase) -> None:
    async with open_store(supabase.url, supabase.secret_key) as store:
        error = await refused_claim(store, limit=51)
    assert (error.kind, error.code) == ("caller_bug", "PT400")


async def test_stopped_statement_is_a_matter_of_patience(supabase: Supabase) -> None:
    with supabase.database.connect() as owner:
        owner.execute(
            "create or replace function public.leadhook_status() returns jsonb language plpgsql "
            "as $$ begin raise query_canceled; end $$"
        )
    async with open_store(supabase.url, supabase.secret_key) as store:
        with pytest.raises(StoreError) as caught:
            await store.status()
    assert (caught.value.kind, caught.value.code) == ("unavailable", "57014")


async def test_an_address_without_supabase_is_reported(supabase: Supabase) -> None:
    error = await refusal(f"{supabase.url}/elsewhere", supabase.secret_key)
    assert (error.kind, error.code) == ("misconfigured", "not_supabase")
