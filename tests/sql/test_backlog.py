"""`leadhook backlog`: what is held is let go on request, as much as was asked for, and nothing twice."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from leadhook.install.backlog import Wish, count_releasable, release_backlog, show_backlog
from leadhook.install.failure import InstallError

if TYPE_CHECKING:
    from tests.sql.conftest import Sql

    from leadhook.local.database import Database

pytestmark = pytest.mark.usefixtures("known_moves")
OTHER = UUID("00000000-0000-4000-8000-000000000002")


def silent(_: str) -> None:
    """Takes what is told."""


def hold(db: "Sql", n: int, **lane: object) -> list[str]:
    """Eligible leads whose jobs are held."""
    ids = db.eligible_leads(n, **lane)  # type: ignore[arg-type]  # the lane is two texts
    db.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, slow, found_by)"
        " select a.lead_id, a.user_id, a.tag, 'held', true, 'sweep' from public.all_leads as a"
        " where a.lead_id = any (%(ids)s)",
        ids=ids,
    )
    return ids


def answer(db: "Sql", *lead_ids: str) -> None:
    """Rows of llm_response from before."""
    for lead_id in lead_ids:
        db.run("insert into public.llm_response (lead_id, score) values (%(id)s, 70)", id=lead_id)


def in_state(db: "Sql", state: str) -> list[str]:
    """Leads whose jobs are in this state."""
    return sorted(lead for lead, found in db.states().items() if found == state)


async def test_release_lets_go_exactly_as_many_as_asked_for(database: "Database", db: "Sql") -> None:
    """By lead_id; they are slow, so that fresh leads go first, and say what released them."""
    ids = hold(db, 1200)
    assert await release_backlog(database.conninfo, Wish(limit=700), silent) == 700
    assert in_state(db, "ready") == ids[:700]
    job = db.job(ids[0])
    assert (job["slow"], job["found_by"], job["attempts"], job["replay_id"]) == (True, "release", 0, None)
    assert await release_backlog(database.conninfo, Wish(), silent) == 500
    assert in_state(db, "held") == []


async def test_released_leads_are_claimed_behind_a_fresh_one(database: "Database", keyed: "Sql") -> None:
    """And each with all that its judgement needs."""
    ids = hold(keyed, 3)
    await release_backlog(database.conninfo, Wish(), silent)
    keyed.ready_job("fresh")
    batch = keyed.claim(limit=2)
    assert keyed.ids_of(batch) == ["fresh", ids[0]]
    assert [lead["found_by"] for lead in batch["leads"]][1] == "release"


async def test_release_rings_after_each_slice_that_let_leads_go(wired_database: "Database", wired: "Sql") -> None:
    """A service that sleeps until its next sweep is woken."""
    hold(wired, 2)
    wired.run("delete from leadhook.rings")
    await release_backlog(wired_database.conninfo, Wish(), silent)
    assert [row["cause"] for row in wired.rows("select cause from leadhook.rings")] == ["backlog"]


async def test_release_does_not_redo_what_has_an_answer(database: "Database", db: "Sql") -> None:
    """It stays held, does not count, and says so; with redo it goes."""
    ids = hold(db, 5)
    answer(db, ids[0], ids[2])
    said: list[str] = []
    assert await release_backlog(database.conninfo, Wish(limit=2), said.append) == 2
    assert in_state(db, "ready") == [ids[1], ids[3]]
    assert "have an answer in llm_response and stay held" in said[-1]
    assert await release_backlog(database.conninfo, Wish(redo=True), silent) == 3
    assert in_state(db, "held") == []


async def test_release_counts_only_what_is_eligible_still(database: "Database", db: "Sql") -> None:
    """A predecessor has sent one, another one's details are gone: 2 asked for are 2 got."""
    ids = hold(db, 5)
    db.run("update public.lead_details set sent_to_llm = true where lead_id = %(id)s", id=ids[0])
    db.run("delete from public.lead_details where lead_id = %(id)s", id=ids[1])
    assert await release_backlog(database.conninfo, Wish(limit=2), silent) == 2
    assert db.states() == {ids[0]: "waiting", ids[2]: "ready", ids[3]: "ready", ids[4]: "held"}


async def test_release_goes_by_who_asked_last(database: "Database", db: "Sql") -> None:
    """Lanes by their newest prompts row."""
    old = hold(db, 2, prefix="a-")
    new = hold(db, 2, prefix="b-", user=OTHER)
    db.run("update public.prompts set created_at = now() - interval '9 days' where user_id = %(u)s", u=db.USER)
    await release_backlog(database.conninfo, Wish(limit=3), silent)
    assert in_state(db, "ready") == [old[0], *new]


async def test_release_can_be_narrowed(database: "Database", db: "Sql") -> None:
    """To a user, a tag, and those who asked since a day."""
    mine = hold(db, 2, prefix="a-")
    hold(db, 2, prefix="b-", user=OTHER)
    other_tag = hold(db, 2, prefix="c-", tag="other")
    db.run("update public.prompts set created_at = now() - interval '9 days' where user_id = %(u)s", u=OTHER)
    week_ago = datetime.now(UTC) - timedelta(days=7)
    assert await count_releasable(database.conninfo, Wish(user=OTHER, since=week_ago), silent) == 0
    assert await count_releasable(database.conninfo, Wish(since=week_ago), silent) == 4
    assert await release_backlog(database.conninfo, Wish(tag="other"), silent) == 2
    assert await release_backlog(database.conninfo, Wish(user=db.USER), silent) == 2
    assert in_state(db, "ready") == [*mine, *other_tag]


@pytest.mark.parametrize(
    ("wish", "count"), [(Wish(), 4), (Wish(redo=True), 5), (Wish(limit=3), 3), (Wish(limit=9), 4), (Wish(tag="x"), 0)]
)
async def test_a_dry_run_counts_what_a_release_lets_go(database: "Database", db: "Sql", wish: Wish, count: int) -> None:
    """And changes nothing."""
    ids = hold(db, 6)
    answer(db, ids[0])
    db.run("update public.lead_details set sent_to_llm = true where lead_id = %(id)s", id=ids[1])
    assert await count_releasable(database.conninfo, wish, silent) == count
    assert in_state(db, "held") == ids
    assert await release_backlog(database.conninfo, wish, silent) == count


async def test_status_tells_what_is_held_and_whose(database: "Database", db: "Sql") -> None:
    """Before and after the first round."""
    ids = hold(db, 3)
    answer(db, ids[0])
    said: list[str] = []
    await show_backlog(database.conninfo, said.append)
    assert said[0] == "the first sweep round is not finished yet: what it finds eligible is held"
    assert said[1].startswith("3 leads are held; 0 released")
    assert said[2].startswith(f"  user {db.USER}, tag {db.TAG}: 3 held, 1 of them answered before, last asked for at ")
    assert said[3].startswith("estimate for 2 leads, from the lengths of the texts")
    assert len(said) == 4


async def test_status_notices_a_predecessor_among_held_leads(database: "Database", db: "Sql") -> None:
    """It takes them one after the other, without a fence."""
    ids = hold(db, 3)
    db.run("update public.lead_details set sent_to_llm = true where lead_id = any (%(ids)s)", ids=ids[:2])
    said: list[str] = []
    await show_backlog(database.conninfo, said.append)
    assert "2 held leads were marked as sent by something else since they are held" in said
    assert said[-1].startswith("is the predecessor still running?")


async def test_status_notices_a_predecessor_that_was_faster(database: "Database", keyed: "Sql") -> None:
    """A lead is at work here, and is sent there: the save finds it unwanted, and the money is gone."""
    lease = keyed.leased_lead("a")
    keyed.run("update public.lead_details set sent_to_llm = true")
    reply = keyed.save(keyed.result_of(lease))
    assert [(answer["outcome"], answer["reason"]) for answer in reply["leases"]] == [("unwanted", "already sent")]
    said: list[str] = []
    await show_backlog(database.conninfo, said.append)
    assert any(line.startswith("1 leads were marked as sent by something else in the last 24 hours") for line in said)


async def test_backlog_wants_the_migrations_first(bare_database: "Database") -> None:
    """In words."""
    with pytest.raises(InstallError, match="run `leadhook migrate` first"):
        await show_backlog(bare_database.conninfo, silent)
