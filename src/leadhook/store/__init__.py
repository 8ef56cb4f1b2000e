"""The only package that talks to Supabase. Calls RPCs, returns domain types, and raises `StoreError`."""

from leadhook.domain.failure import StoreError
from leadhook.store.backlog import Wanted, release_held
from leadhook.store.calls import when_free
from leadhook.store.client import SupabaseStore, open_store
from leadhook.store.columns import cleaned
from leadhook.store.operators import Admission, Backlog, BudgetSet, Paused, Resumed
from leadhook.store.replays import begin_replay, count_replay

__all__ = [
    "Admission",
    "Backlog",
    "BudgetSet",
    "Paused",
    "Resumed",
    "StoreError",
    "SupabaseStore",
    "Wanted",
    "begin_replay",
    "cleaned",
    "count_replay",
    "open_store",
    "release_held",
    "when_free",
]
