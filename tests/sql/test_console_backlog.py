"""The backlog in the console: what is held, and a release that goes on by itself."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from tests.sql.conftest import Sql
from tests.sql.test_backlog import answer, hold, in_state

from leadhook.domain.console import Audit, HeldLeads, Progress, RunningRelease

pytestmark = pytest.mark.usefixtures("known_moves")
OTHER = UUID("00000000-0000-4000-8000-000000000002")


def held(db: Sql, **scope: Any) -> HeldLeads:
    """Call `leadhook_held_leads`."""
    parameters = {f"p_{key}": value for key, value in scope.items()}
    return HeldLeads.model_validate(db.rpc("leadhook_held_leads", **parameters))


def begin(db: Sql, limit: int = 1000, *, user_id: UUID | None = None, redo: bool = False) -> int:
    """Begin a release, and return its id."""
    scope = {"p_user_id": user_id, "p_tag": None, "p_redo": redo}
    reply = db.rpc("leadhook_begin_release", **scope, p_limit=limit, p_actor="ada", p_reason="a test")
    release_id: int = reply["release_id"]
    return release_id


def go_on(db: Sql) -> int:
    """Do what the engine does; how many slices it took."""
    slices = 1
    while db.rpc("leadhook_replay_slice")["left"]:
        slices += 1
    return slices


def running(db: Sql) -> RunningRelease | None:
    """The release in progress."""
    return Progress.model_validate(db.rpc("leadhook_progress")).release


def test_held_leads_are_counted_and_measured(db: Sql) -> None:
    """All, of a user, of a tag; what a release leaves out is not measured."""
    ids = hold(db, 5)
    hold(db, 2, prefix="b-", user=OTHER, tag="x")
    answer(db, ids[0])
    db.run("update public.lead_details set sent_to_llm = true where lead_id = %(id)s", id=ids[1])
    found = held(db)
    assert (found.held, found.looked_at, found.answered, found.sent, found.size.leads) == (7, 7, 1, 1, 5)
    assert (found.releasable(redo=False), found.releasable(redo=True)) == (5, 6)
    assert found.size.score_chars > 1100 * 5
    assert held(db, redo=True).size.leads == 6
    assert {(group.user_id, group.tag, group.held) for group in found.groups} == {
        (OTHER, "x", 2),
        (db.USER, "founders", 5),
    }
    assert [held(db, user_id=user).held for user in (OTHER, db.USER)] == [2, 5]
    assert [held(db, user_id=OTHER, tag=tag).held for tag in ("x", "y")] == [2, 0]
    with pytest.raises(psycopg.Error, match="p_tag needs p_user_id"):
        held(db, tag="x")


def test_a_release_that_is_sent_twice_begins_once(db: Sql) -> None:
    """A second click; another form is another release."""
    ids = hold(db, 6)
    call: dict[str, Any] = {"p_user_id": None, "p_tag": None, "p_redo": False, "p_limit": 2, "p_actor": "ada"}
    forms = [uuid4(), uuid4()]
    begun = [db.rpc("leadhook_begin_release", **call, p_request_id=form) for form in (forms[0], forms[0], forms[1])]
    assert begun[0] == begun[1] != begun[2]
    assert in_state(db, "ready") == ids[:4]
    assert db.value("select count(*) from leadhook.audit where action = 'backlog_release'") == 2


def test_a_release_goes_on_by_itself_up_to_its_limit(db: Sql) -> None:
    """Slice by slice, the group first that asked last; what has an answer stays, and the audit has one entry."""
    old = hold(db, 700, prefix="a-")
    new = hold(db, 3, prefix="b-", user=OTHER)
    db.run("update public.prompts set created_at = now() - interval '9 days' where user_id = %(u)s", u=db.USER)
    answer(db, old[0], new[0])
    begin(db, 600)
    assert in_state(db, "ready") == new[1:]
    assert db.claim()["replays_wait"] is True
    assert go_on(db) == 2
    assert in_state(db, "held") == [old[0], *old[599:], new[0]]
    assert db.claim()["replays_wait"] is False
    (entry,) = Audit.model_validate(db.rpc("leadhook_audit")).entries
    assert (entry.action, entry.actor, entry.reason) == ("backlog_release", "ada", "a test")
    assert {name: entry.parameters[name] for name in ("limit", "redo")} == {"limit": 600, "redo": False}


def test_a_release_of_everything_ends_with_the_last_group(db: Sql) -> None:
    """Also with leads that have an answer, and where nothing is held."""
    ids = hold(db, 3)
    answer(db, ids[0])
    hold(db, 2, prefix="b-", user=OTHER)
    begin(db, user_id=db.USER, redo=True)
    begin(db, user_id=UUID(int=9))
    go_on(db)
    assert in_state(db, "ready") == ids
    assert db.count("leadhook.releases", "ended_at is null") == 0


def test_progress_shows_the_releases_whose_leads_wait(db: Sql) -> None:
    """Also while one queues leads; not those from before."""
    assert running(db) is None
    hold(db, 3)
    begin(db)
    db.run("update leadhook.jobs set state = 'done', low_priority = false, finished_at = now()")
    assert running(db) is None
    hold(db, 700, prefix="b-")
    second = begin(db, 650)
    found = running(db)
    assert found is not None
    assert (found.waiting, found.total) == (500, 500)
    assert [(one.release_id, one.released, one.limit, one.ended_at) for one in found.releases] == [
        (second, 500, 650, None)
    ]
    db.run("update leadhook.jobs set state = 'done', low_priority = false where state = 'ready' and lead_id < 'b-3'")
    go_on(db)
    found = running(db)
    assert found is not None
    assert found.total == 650
    assert 0 < found.waiting < 650
    assert found.releases[0].ended_at is not None


def test_a_release_that_is_stopped_releases_no_more(db: Sql) -> None:
    """What is queued stays queued; stopping twice is one entry of the audit."""
    hold(db, 700)
    release_id = begin(db)
    for _ in range(2):
        reply = db.rpc("leadhook_stop_release", p_release_id=release_id, p_actor="eve", p_reason="too many")
        assert reply == {"release_id": release_id, "released": 500}
    assert go_on(db) == 1
    assert len(in_state(db, "held")) == 200
    entries = Audit.model_validate(db.rpc("leadhook_audit")).entries
    assert [(entry.action, entry.actor) for entry in entries] == [("release_stop", "eve"), ("backlog_release", "ada")]
    assert db.rpc("leadhook_stop_release", p_release_id=99, p_actor="eve") == {}


@pytest.mark.parametrize("changed", [{"p_limit": 0}, {"p_tag": "x"}, {"p_actor": " "}])
def test_a_release_that_makes_no_sense_is_refused(db: Sql, changed: dict[str, Any]) -> None:
    """Without a limit, a user for its tag, or a name."""
    call = {"p_user_id": None, "p_tag": None, "p_limit": 1, "p_redo": False, "p_actor": "ada"} | changed
    with pytest.raises(psycopg.Error) as refused:
        db.rpc("leadhook_begin_release", **call)
    assert refused.value.sqlstate == "PT400"
