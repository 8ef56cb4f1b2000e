"""The only door to Supabase: RPC in, domain types out, and every failure in words."""

from leadhook.store.client import Store, open_store
from leadhook.store.errors import StoreError
from leadhook.store.replays import DryRun, LeadProgress, ReplaySlice, ReplayStatus
from leadhook.store.replies import KeyCounts, ReplayedLead, ReplayReply, RestingKey, RingSettings, SeenWorker, Status
from leadhook.store.text import cleaned

__all__ = [
    "DryRun",
    "KeyCounts",
    "LeadProgress",
    "ReplayReply",
    "ReplaySlice",
    "ReplayStatus",
    "ReplayedLead",
    "RestingKey",
    "RingSettings",
    "SeenWorker",
    "Status",
    "Store",
    "StoreError",
    "cleaned",
    "open_store",
]
