"""`leadhook backlog`: what is held is let go on request, as much as was asked for, and nothing twice."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from tests.commands import Run, SqlStore, as_arguments, use_store
from tests.sql.conftest import Sql

from leadhook.store.errors import explain

pytestmark = pytest.mark.usefixtures("known_moves")
OTHER = UUID("00000000-0000-4000-8000-000000000002")


def release(leadhook: Run, **options: object) -> int:
    code, out, err = leadhook("backlog", "release", "--yes", "--json", *as_arguments(options))
    assert code == 0, err
    count: int = json.loads(out)["released"]
    return count


def count(leadhook: Run, **options: object) -> int:
    code, out, err = leadhook("backlog", "release", "--dry-run", "--json", *as_arguments(options))
    assert code == 0, err
    found: int = json.loads(out)["count"]
    return found


def shown(leadhook: Run) -> list[str]:
    code, out, err = leadhook("backlog", "status")
    assert code == 0, err
    return out.splitlines()


def hold(db: Sql, n: int, **group: object) -> list[str]:
    ids = db.eligible_leads(n, **group)  # type: ignore[arg-type]  # the group is two texts
    db.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, low_priority, source)"
        " select a.lead_id, a.user_id, a.tag, 'held', true, 'sweep' from public.all_leads as a"
        " where a.lead_id = any (%(ids)s)",
        ids=ids,
    )
    return ids


def answer(db: Sql, *lead_ids: str) -> None:
    for lead_id in lead_ids:
        db.run("insert into public.llm_response (lead_id, score) values (%(id)s, 70)", id=lead_id)


def in_state(db: Sql, state: str) -> list[str]:
    return sorted(lead for lead, found in db.states().items() if found == state)


def test_release_lets_go_exactly_as_many_as_asked_for(leadhook: Run, db: Sql) -> None:
    ids = hold(db, 1200)
    assert release(leadhook, limit=700) == 700
    assert in_state(db, "ready") == ids[:700]
    job = db.job(ids[0])
    assert (job["low_priority"], job["source"], job["attempts"], job["replay_id"]) == (True, "release", 0, None)
    assert release(leadhook) == 500
    assert in_state(db, "held") == []


def test_released_leads_are_claimed_behind_a_fresh_one(leadhook: Run, keyed: Sql) -> None:
    ids = hold(keyed, 3)
    release(leadhook)
    keyed.ready_job("fresh")
    batch = keyed.claim(limit=2)
    assert keyed.ids_of(batch) == ["fresh", ids[0]]
    assert [lead["source"] for lead in batch["leads"]][1] == "release"


def test_release_sends_a_webhook_after_each_slice_that_let_leads_go(
    leadhook: Run, wired: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that sleeps until its next sweep is woken."""
    hold(wired, 2)
    wired.run("delete from leadhook.webhooks")
    use_store(monkeypatch, SqlStore(wired))
    release(leadhook)
    assert [row["reason"] for row in wired.rows("select reason from leadhook.webhooks")] == ["backlog"]


def test_release_does_not_redo_what_has_an_answer(leadhook: Run, db: Sql) -> None:
    ids = hold(db, 5)
    answer(db, ids[0], ids[2])
    out = leadhook("backlog", "release", "--limit", "2", "--yes")[1]
    assert "2 leads released; fresh leads go first" in out
    assert in_state(db, "ready") == [ids[1], ids[3]]
    assert "have an answer in llm_response and stay held" in out
    assert release(leadhook, redo=True) == 3
    assert in_state(db, "held") == []


def test_release_counts_only_what_is_eligible_still(leadhook: Run, db: Sql) -> None:
    ids = hold(db, 5)
    db.run("update public.lead_details set sent_to_llm = true where lead_id = %(id)s", id=ids[0])
    db.run("delete from public.lead_details where lead_id = %(id)s", id=ids[1])
    assert release(leadhook, limit=2) == 2
    assert db.states() == {ids[0]: "waiting", ids[2]: "ready", ids[3]: "ready", ids[4]: "held"}


def test_release_goes_by_who_asked_last(leadhook: Run, db: Sql) -> None:
    old = hold(db, 2, prefix="a-")
    new = hold(db, 2, prefix="b-", user=OTHER)
    db.run("update public.prompts set created_at = now() - interval '9 days' where user_id = %(u)s", u=db.USER)
    release(leadhook, limit=3)
    assert in_state(db, "ready") == [old[0], *new]


def test_release_can_be_narrowed(leadhook: Run, db: Sql) -> None:
    mine = hold(db, 2, prefix="a-")
    hold(db, 2, prefix="b-", user=OTHER)
    other_tag = hold(db, 2, prefix="c-", tag="other")
    db.run("update public.prompts set created_at = now() - interval '9 days' where user_id = %(u)s", u=OTHER)
    week_ago = datetime.now(UTC) - timedelta(days=7)
    assert count(leadhook, user=OTHER, since=week_ago.isoformat()) == 0
    assert count(leadhook, since=week_ago.isoformat()) == 4
    assert release(leadhook, tag="other") == 2
    assert release(leadhook, user=db.USER) == 2
    assert in_state(db, "ready") == [*mine, *other_tag]


@pytest.mark.parametrize(
    ("wish", "expected"), [({}, 4), ({"redo": True}, 5), ({"limit": 3}, 3), ({"limit": 9}, 4), ({"tag": "x"}, 0)]
)
def test_a_dry_run_counts_what_a_release_lets_go(
    leadhook: Run, db: Sql, wish: dict[str, object], expected: int
) -> None:
    ids = hold(db, 6)
    answer(db, ids[0])
    db.run("update public.lead_details set sent_to_llm = true where lead_id = %(id)s", id=ids[1])
    assert count(leadhook, **wish) == expected
    assert in_state(db, "held") == ids
    assert release(leadhook, **wish) == expected


def test_status_shows_what_is_held_and_whose(leadhook: Run, db: Sql) -> None:
    ids = hold(db, 3)
    answer(db, ids[0])
    said = shown(leadhook)
    assert said[0] == "the first sweep round is not finished yet: leads that it finds eligible are held"
    assert said[1].startswith("3 leads are held; 0 released")
    assert said[2].startswith(
        f"  user {db.USER}, tag {db.TAG}: 3 held, 1 of them answered before, newest prompts row at "
    )
    assert said[3].startswith("estimate for 2 leads, from the lengths of the texts")
    assert len(said) == 4


def test_status_notices_a_predecessor_among_held_leads(leadhook: Run, db: Sql) -> None:
    """It takes them one after the other, without a fence."""
    ids = hold(db, 3)
    db.run("update public.lead_details set sent_to_llm = true where lead_id = any (%(ids)s)", ids=ids[:2])
    said = shown(leadhook)
    assert "2 held leads were marked as sent by something else" in said
    assert said[-1].startswith("is the predecessor still running?")


def test_status_notices_a_predecessor_that_was_faster(leadhook: Run, keyed: Sql) -> None:
    """The lead is sent elsewhere during its run: the save finds it unwanted, and the cost is wasted."""
    lease = keyed.leased_lead("a")
    keyed.run("update public.lead_details set sent_to_llm = true")
    reply = keyed.save(keyed.result_of(lease))
    assert [(answer["outcome"], answer["reason"]) for answer in reply["leases"]] == [("unwanted", "already sent")]
    said = shown(leadhook)
    assert any(line.startswith("1 leads were marked as sent by something else in the last 24 hours") for line in said)


def test_backlog_wants_the_migrations_first(leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    use_store(monkeypatch, _OldDatabase())
    code, _, err = leadhook("backlog", "status")
    assert (code, "`leadhook migrate`" in err) == (1, True)


class _OldDatabase:
    async def backlog(self, *_: object, **__: object) -> None:
        raise explain("leadhook_backlog", 404, '{"code": "PGRST202", "message": "no such function"}')
