"""The application's transactions cross each other and the outbox in every order."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
from tests.conftest import PATIENCE_S

if TYPE_CHECKING:
    from tests.sql.conftest import Sql

    Connect = Callable[[], Sql]

STEPS: dict[str, tuple[LiteralString, LiteralString]] = {
    "lead": (
        "insert into public.all_leads (lead_id, user_id, tag, scrapped) values (%(id)s, %(user)s, %(tag)s, true)",
        "update public.all_leads set scrapped = true where lead_id = %(id)s",
    ),
    "details": (
        "insert into public.lead_details (lead_id) values (%(id)s)",
        "update public.lead_details set sent_to_llm = false where lead_id = %(id)s",
    ),
    "prompts": (
        "insert into public.prompts (user_id, tag) values (%(user)s, %(tag)s)",
        "update public.prompts set tag = %(tag)s where user_id = %(user)s and tag = 'not ' || %(tag)s",
    ),
}
BEGIN: dict[str, LiteralString] = {
    "read committed": "begin isolation level read committed",
    "repeatable read": "begin isolation level repeatable read",
}


def orders() -> Iterator[tuple[tuple[str, str], ...]]:
    """Every order of write and commit of three transactions, each of which writes before it commits."""
    events = [(name, event) for name in STEPS for event in ("write", "commit")]
    for order in itertools.permutations(events):
        if all(order.index((name, "write")) < order.index((name, "commit")) for name in STEPS):
            yield order


def _claim_all(wired: "Sql") -> list[str]:
    """Claim until nothing is left: on a busy machine, one claim's 100 ms may not apply every change."""
    reply = wired.claim()
    found: list[str] = wired.ids_of(reply)
    return [*found, *_claim_all(wired)] if reply["has_more"] else found


@pytest.mark.parametrize("isolation", BEGIN)
def test_whatever_the_order_the_leads_are_found(wired: "Sql", wired_connect: "Connect", isolation: str) -> None:
    """Three transactions bring lead, details and prompts in all 90 orders, with a claim after every commit.

    Of one lead the rows are new, of another one they are changed.
    """
    wired.key()
    wired.control(lease_s=3600)  # on a busy machine this takes longer than a lease, and the first lead would be back
    application = {name: wired_connect() for name in STEPS}
    for number, order in enumerate(orders()):
        new, changed = f"new-{number}", f"changed-{number}"
        wired.lead(changed, tag=changed, scrapped=False)
        wired.details(changed, sent=True)
        wired.prompts(tag=f"not {changed}")
        wired.apply_outbox()
        found: list[str] = []
        for name, event in order:
            if event == "write":
                application[name].run(BEGIN[isolation])
                for statement, lead_id in zip(STEPS[name], (new, changed), strict=True):
                    application[name].run(statement, id=lead_id, user=wired.USER, tag=lead_id)
            else:
                application[name].run("commit")
                found += _claim_all(wired)
        assert sorted(found) == [changed, new], order


def test_two_at_once_apply_the_outbox_one_after_the_other(db: "Sql", connect: "Connect") -> None:
    """The second waits, and then sees what the first made ready."""
    db.note_change(db.eligible_lead("lead-1"))
    other = connect()
    other.run("begin")
    other.run("select leadhook.apply_outbox('sweep')")
    db.note_change(db.eligible_lead("lead-2"))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(db.apply_outbox, "webhook")
        wait_until_blocked(connect(), db)
        other.run("commit")
        assert waiting.result(timeout=PATIENCE_S) == 1
    assert {row["source"] for row in db.rows("select source from leadhook.jobs")} == {"sweep", "webhook"}


def test_a_call_that_waits_too_long_gives_up(db: "Sql", connect: "Connect") -> None:
    """Bounded for every caller, the sweep too."""
    db.note_change(db.eligible_lead("lead-1"))
    other = connect()
    with other.transaction():
        other.run("select leadhook.lock_outbox()")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            db.apply_outbox()
    assert db.count("leadhook.outbox") == 1


def test_a_save_that_commits_during_the_apply_does_not_reopen_its_lead(db: "Sql", connect: "Connect") -> None:
    """The job is locked before the lead is checked; a lead that was just saved would else be paid for twice."""
    db.ready_job("lead-1", state="leased")
    db.note_change("lead-1")
    saver = connect()
    saver.run("begin")
    saver.run("update public.lead_details set sent_to_llm = true")
    saver.run("update leadhook.jobs set state = 'done', claim_token = null, lease_until = null")
    db.apply_outbox()
    saver.run("commit")
    db.run("update leadhook.outbox set not_before = null")
    db.apply_outbox()
    assert (db.states(), db.job("lead-1")["run"]) == ({"lead-1": "done"}, 1)


def test_a_change_between_check_and_lease_is_noted(wired: "Sql", wired_connect: "Connect") -> None:
    """A claim checks a lead that changed only once, when it applies the outbox."""
    wired.key()
    wired.claim()  # the first one looks at every table for numbers of before a restore
    wired.eligible_lead("lead-1")
    blocker, application = wired_connect(), wired_connect()
    blocker.run("begin")
    blocker.run("lock table leadhook.pauses")
    with ThreadPoolExecutor(1) as pool:
        claiming = pool.submit(wired.claim)
        wait_until_blocked(wired_connect(), wired)
        application.run("update public.all_leads set scrapped = false")
        blocker.run("commit")
        assert wired.ids_of(claiming.result(timeout=PATIENCE_S)) == ["lead-1"]
    wired.apply_outbox()
    assert wired.job("lead-1")["changed"] is True


def test_single_row_writers_in_opposite_order_never_wait_for_each_other(wired: "Sql", wired_connect: "Connect") -> None:
    """A trigger that only appends can't deadlock: each of two open transactions writes what the other one touched."""
    leads, details = wired_connect(), wired_connect()
    ids = [f"lead-{number:02}" for number in range(20)]
    for connection in (leads, details):
        connection.run("set lock_timeout = '10s'")
        connection.run("begin")
    wired.prompts()
    for lead_id, opposite in zip(ids, reversed(ids), strict=True):
        leads.lead(lead_id)
        details.details(opposite)
    leads.run("commit")
    details.run("commit")
    wired.apply_outbox()
    assert set(wired.states().values()) == {"ready"}
    assert len(wired.states()) == 20


def test_claims_and_writers_at_full_speed_lose_no_lead(wired: "Sql", wired_connect: "Connect") -> None:
    """Three writers bring the parts of 60 leads while two workers claim: every lead is handed out, and once."""
    wired.key()
    ids = [f"lead-{number:02}" for number in range(60)]
    writers = {
        "lead": lambda db: [db.lead(lead_id, tag=f"tag-{lead_id}") for lead_id in ids],
        "details": lambda db: [db.details(lead_id) for lead_id in reversed(ids)],
        "prompts": lambda db: [db.prompts(tag=f"tag-{lead_id}") for lead_id in ids[30:] + ids[:30]],
    }
    written = threading.Event()

    def work(db: "Sql") -> list[str]:
        found: list[str] = []
        while True:
            last = written.is_set()
            batch = db.claim(7)
            found += db.ids_of(batch)
            if last and not batch["busy"] and batch["next_due_ms"] != 0:
                return found

    with ThreadPoolExecutor(5) as pool:
        workers = [pool.submit(work, wired_connect()) for _ in range(2)]
        for done in [pool.submit(write, wired_connect()) for write in writers.values()]:
            done.result(timeout=PATIENCE_S)
        written.set()
        found = [lead_id for worker in workers for lead_id in worker.result(timeout=PATIENCE_S)]
    assert sorted(found) == ids


def wait_until_blocked(watcher: "Sql", blocked: "Sql") -> None:
    """Return once the other connection waits for a lock."""
    pid = blocked.connection.info.backend_pid
    for _ in range(1000):
        if watcher.value("select cardinality(pg_blocking_pids(%(pid)s)) > 0", pid=pid):
            return
        watcher.run("select pg_sleep(0.01)")
    pytest.fail("it does not wait")
