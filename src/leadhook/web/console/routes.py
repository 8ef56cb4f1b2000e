"""The table of the console's pages, and the right that each needs."""

from typing import Final

from leadhook.web.console import admission, backlog, leads, overview, records, replays, sign_in
from leadhook.web.console.visit import SIGN_IN, Page

PAGES: Final = (
    Page("GET", SIGN_IN, sign_in.show_sign_in, "open"),
    Page("POST", SIGN_IN, sign_in.sign_in, "open"),
    Page("POST", "/console/sign-out", sign_in.sign_out, "look"),
    Page("GET", "/console/static/{file}", sign_in.show_file, "open"),
    Page("GET", sign_in.HOME, overview.show, "look"),
    Page("GET", "/console/live", overview.show, "look"),
    Page("GET", "/console/leads", leads.list_leads, "look"),
    Page("GET", "/console/lead", leads.show_lead, "look"),
    Page("GET", "/console/lead/live", leads.show_lead, "look"),
    Page("GET", "/console/lead/sent", leads.show_sent, "admin"),
    Page("GET", "/console/failures", replays.list_failures, "look"),
    Page("GET", "/console/replay", replays.preview_replay, "look"),
    Page("POST", "/console/replay", replays.begin_replay, "admin"),
    Page("GET", "/console/replays", replays.list_replays, "look"),
    Page("GET", "/console/replays/{replay_id}", replays.show_replay, "look"),
    Page("GET", "/console/replays/{replay_id}/live", replays.show_replay, "look"),
    Page("GET", "/console/replays/{replay_id}/stop", replays.preview_stop, "look"),
    Page("POST", "/console/replays/{replay_id}/stop", replays.stop_replay, "admin"),
    Page("GET", "/console/pauses", admission.list_pauses, "look"),
    Page("GET", "/console/pause", admission.preview_pause, "look"),
    Page("POST", "/console/pause", admission.pause, "admin"),
    Page("GET", "/console/resume", admission.preview_resume, "look"),
    Page("POST", "/console/resume", admission.resume, "admin"),
    Page("GET", "/console/budgets", admission.list_budgets, "look"),
    Page("GET", "/console/budget", admission.preview_budget, "look"),
    Page("POST", "/console/budget", admission.set_budget, "admin"),
    Page("GET", backlog.HOME, backlog.show, "look"),
    Page("GET", "/console/backlog/live", backlog.show_live, "look"),
    Page("GET", "/console/release", backlog.preview_release, "look"),
    Page("POST", "/console/release", backlog.release, "admin"),
    Page("GET", "/console/release/stop", backlog.preview_stop, "look"),
    Page("POST", "/console/release/stop", backlog.stop, "admin"),
    Page("GET", "/console/keys", admission.list_keys, "look"),
    Page("GET", "/console/key", admission.preview_unpark, "look"),
    Page("POST", "/console/key", admission.unpark, "admin"),
    Page("GET", "/console/webhooks", records.list_webhooks, "look"),
    Page("GET", "/console/audit", records.list_audit, "look"),
)
