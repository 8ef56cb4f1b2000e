"""The only package that talks to Supabase. Calls RPCs, returns domain types, and raises `StoreError`."""

from leadhook.domain.failure import StoreError
from leadhook.store.client import SupabaseStore, open_store
from leadhook.store.columns import cleaned
from leadhook.store.operators import Admission, Backlog, BudgetSet, Paused, Resumed, Scope
from leadhook.store.release import Wanted, release_held, when_free
from leadhook.store.replays import (
    DryRun,
    LeadProgress,
    ReplayCount,
    Replays,
    ReplayStatus,
    ReplaySummary,
    count_replay,
)
from leadhook.store.replies import ReplayedLead, ReplayReply

__all__ = [
    "Admission",
    "Backlog",
    "BudgetSet",
    "DryRun",
    "LeadProgress",
    "Paused",
    "ReplayCount",
    "ReplayReply",
    "ReplayStatus",
    "ReplaySummary",
    "ReplayedLead",
    "Replays",
    "Resumed",
    "Scope",
    "StoreError",
    "SupabaseStore",
    "Wanted",
    "cleaned",
    "count_replay",
    "open_store",
    "release_held",
    "when_free",
]
