"""Who did what, and why, whichever door the call came by."""

from typing import Any, get_args

import psycopg
import pytest
from tests.sql.conftest import Row, Sql

from leadhook.domain.console import Action, Audit, AuditFilter

WHO = {"p_actor": " admin:12345678 ", "p_reason": "tests"}


def audit(db: Sql, before: int | None = None, limit: int = 25, **fields: Any) -> Audit:
    wanted = AuditFilter(**fields).model_dump(mode="json", exclude_none=True)
    return Audit.model_validate(db.rpc("leadhook_audit", p_filter=wanted, p_before=before, p_limit=limit))


def test_every_action_is_noted_by_the_function_that_acts(db: Sql) -> None:
    user = {"p_user_id": db.USER}
    db.ready_job("lead-secret", state="done")
    for n in range(3):
        db.ready_job(f"held-secret-{n}", state="held")
    db.rpc("leadhook_pause", **user, p_tag=db.TAG, **WHO)
    db.rpc("leadhook_resume", **user, p_tag=db.TAG, **WHO)
    db.rpc("leadhook_set_budget", **user, p_daily_usd=5, **WHO)
    db.rpc("leadhook_set_budget", **user, p_daily_usd=None, **WHO)
    replay_id = db.rpc("leadhook_replay", p_lead_ids=["lead-secret"], **WHO)["replay_id"]
    db.rpc("leadhook_replay_stop", p_replay_id=replay_id, **WHO)
    db.rpc("leadhook_replay_filtered", p_filter={"state": "dead"}, p_limit=5, **WHO)
    db.rpc("leadhook_unpark_key", p_fingerprint="0" * 16, **WHO)
    group = user | {"p_tag": db.TAG, "p_redo": False}
    db.rpc("leadhook_release_backlog", **group, p_after_lead="", p_limit=1, **WHO)
    db.rpc("leadhook_release_backlog", **group, p_after_lead="held-secret-0", p_limit=5, **WHO)
    begun = db.rpc("leadhook_begin_release", **user, p_tag=db.TAG, p_limit=1, p_redo=True, **WHO)
    release_id = begun["release_id"]
    db.run("update leadhook.releases set ended_at = null")
    db.rpc("leadhook_stop_release", p_release_id=release_id, **WHO)
    for redeemed in (True, False):
        assert db.rpc("leadhook_redeem_link", p_link="0" * 32, p_actor=WHO["p_actor"]) == {"redeemed": redeemed}
    db.run("delete from public.all_leads where lead_id = 'lead-secret'")
    db.note_change("lead-secret")
    db.apply_outbox()

    entries = audit(db).entries
    group_of = {"user_id": str(db.USER), "tag": db.TAG}
    assert [(entry.action, entry.parameters) for entry in reversed(entries)] == [
        ("pause", group_of | {"already": False}),
        ("resume", group_of | {"resumed": True}),
        ("budget", {"user_id": str(db.USER), "daily_usd": 5}),
        ("budget", {"user_id": str(db.USER), "before_usd": 5}),
        ("replay", {"replay_id": replay_id, "named": 1, "counts": {"queued": 1}}),
        ("replay_stop", {"replay_id": replay_id}),
        ("replay", {"replay_id": replay_id + 1, "filter": {"state": "dead"}, "limit": 5}),
        ("key_unpark", {"fingerprint": "0" * 16, "unparked": False}),
        ("backlog_release", group_of | {"redo": False, "released": 3}),
        ("backlog_release", group_of | {"release_id": release_id, "redo": True, "limit": 1}),
        ("release_stop", {"release_id": release_id}),
        ("sign_in", {"link": "0" * 32}),
        ("erase", {"leads": 1}),
    ]
    assert {(entry.actor, entry.reason) for entry in entries if entry.action != "sign_in"} == {
        ("admin:12345678", "tests"),
        ("application", None),
    }
    assert "secret" not in str(entries)
    assert {entry.action for entry in entries} == set(get_args(Action))


def test_a_call_that_names_no_one_acts_on_nothing(db: Sql) -> None:
    calls: dict[str, Row] = {
        "replay_stop": {"p_replay_id": 1},
        "release_backlog": {"p_user_id": db.USER, "p_tag": db.TAG},
        "unpark_key": {"p_fingerprint": "0"},
    }
    for name, arguments in calls.items():
        with pytest.raises(psycopg.Error) as refused:
            db.rpc(f"leadhook_{name}", **arguments, p_actor=" ")
        assert refused.value.sqlstate == "PT400"
    assert db.count("leadhook.audit") == 0


def test_the_audit_is_filtered_and_comes_in_pages(db: Sql) -> None:
    for n in range(5):
        db.rpc("leadhook_pause", p_user_id=db.USER, p_tag=f"t{n}", p_actor=f"cli:{n % 2}", p_reason="<b>'; --")
    db.rpc("leadhook_set_budget", p_daily_usd=1, p_actor="cli:0")
    page = audit(db, limit=2, action="pause", actor="cli:0")
    rest = audit(db, page.before, limit=2, action="pause", actor="cli:0")
    assert [entry.parameters["tag"] for entry in (*page.entries, *rest.entries)] == ["t4", "t2", "t0"]
    assert rest.before is None
    assert len(audit(db, user_id=db.USER).entries) == 5
    assert page.entries[0].reason == "<b>'; --"
    assert audit(db, since=db.value("select now() + interval '1 s'")).entries == ()
    assert audit(db, actor="' or true; --").entries == ()


def test_the_audit_is_kept_for_a_year(db: Sql) -> None:
    db.run("insert into leadhook.audit (actor, action, at) values ('a', 'erase', now() - interval '366 days')")
    db.run("insert into leadhook.audit (actor, action, at) values ('b', 'erase', now() - interval '364 days')")
    db.run("select leadhook.sweep_records(clock_timestamp())")
    assert [entry.actor for entry in audit(db).entries] == ["b"]
