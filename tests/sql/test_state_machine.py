"""Any order of the application's transactions and of the service's calls, against a model of the job.

The application has three connections: one that commits each statement, and two with transactions that stay open while
others read, write and commit. A save and a claim stay open too. LEADHOOK_FAULTS=long runs 10,000 schedules and plants
lost wake-ups, which must be found; Hypothesis prints what repeats a failure.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.conftest import LONG
from tests.sql.conftest import Sql
from tests.sql.job_model import MAX_ATTEMPTS, MAX_DEATHS, Job, Model
from tests.sql.job_states import watch, watched, written_down

if TYPE_CHECKING:
    import psycopg
    from tests.sql.conftest import Connect, Row

SCHEDULES = int(os.environ.get("LEADHOOK_SCHEDULES", "10000")) if LONG else 20
PARTS = 2 if LONG else 1  # at once, with -n 2; each draws its own
TAGS = {"a": "x", "b": "x", "c": "y"}
IDS = tuple(TAGS)
LEADS = st.sampled_from(IDS)
PROMPTS = st.sampled_from(sorted(set(TAGS.values())))
FACTS = st.sampled_from([(True, False), (True, False), (False, False), (True, True)])
PAST = {"saved": "saved", "unwanted": "unwanted", "refused": "refused"}
# The application's first: its triggers write to ours.
TABLES: tuple[LiteralString, ...] = (
    "public.all_leads", "public.lead_details", "public.llm_response", "public.prompts", "leadhook.outbox",
    "leadhook.jobs", "leadhook.attempts", "leadhook.results", "leadhook.pauses", "leadhook.budgets", "leadhook.costs",
    "leadhook.lead_groups", "leadhook.ready_groups", "leadhook.ready_notes",
)  # fmt: skip
REFUSED = 13
"""The application's constraint refuses this score."""
SCORES = st.sampled_from([10, 90, REFUSED])


@dataclass
class Session:
    """A connection of the application; with `open`, in a transaction whose changes the model does not have yet."""

    db: Sql
    open: bool = False
    has_deleted: bool = False
    leads: dict[str, dict[str, bool] | None] = field(default_factory=dict)
    todo: list[Callable[[], None]] = field(default_factory=list)


class Service(Sql):
    """A session of the service: its role is set once, and not for every call."""

    def __init__(self, connection: "psycopg.Connection[Row]") -> None:
        super().__init__(connection)
        self.run("set role service_role")

    def call(self, name: str, **arguments: object) -> Any:
        """Call a function in a transaction for itself alone, or in that which is open."""
        return self.select(name, arguments)


class Machine(RuleBasedStateMachine):
    """The database and the model side by side."""

    db: Sql
    service: Sql
    worker: Sql
    writers: tuple[Sql, ...]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(tags=TAGS, prompts=set(TAGS.values()))
        self.leases: list[Row] = []
        self.tokens: list[UUID] = []
        self.news: dict[str, int] = {}
        self.shut: set[tuple[str, bool]] = set()
        self.saving = self.locked = ""
        self.sessions = [Session(self.db), *(Session(writer) for writer in self.writers)]
        for session in self.sessions[1:]:
            session.db.run("rollback")
        for table in TABLES:
            self.db.run(f"delete from {table}")  # noqa: S608 - names of ours; to truncate would take ten times as long
        for tag in self.model.prompts:
            self.db.prompts(tag=tag)
            self.model.asked[tag] = 0
        for lead in IDS:
            self.write(self.sessions[0], lead, (True, False))

    @initialize(seed=st.integers(0, 99))
    def draw(self, seed: int) -> None:
        """What the functions leave to chance is repeated with the schedule."""
        for session in (self.service, self.worker):
            session.run("select setseed(%(s)s)", s=seed / 100)

    def teardown(self) -> None:
        """Leave no transaction open."""
        for session in self.sessions[1:]:
            session.db.run("rollback")

    # The application.

    @rule(lead=LEADS, facts=FACTS, which=st.integers(0, 2))
    def bring(self, lead: str, facts: tuple[bool, bool], which: int) -> None:
        """A lead and its details, or a change of what is there."""
        self.write(self.sessions[which], lead, facts)

    @rule(lead=LEADS, which=st.integers(0, 2))
    def delete(self, lead: str, which: int) -> None:
        """One DELETE erases it."""
        self.write(self.sessions[which], lead, None)

    @rule(lead=LEADS, which=st.integers(0, 2), dead=st.booleans())
    def refresh(self, lead: str, which: int, *, dead: bool) -> None:
        """Delete a lead, preferably a dead one, and insert it as it was; by two transactions that is a change."""
        if dead:
            lead = next((each for each, job in self.model.jobs.items() if job.state == "dead"), lead)
        session = self.sessions[which]
        facts = session.leads.get(lead, self.model.leads.get(lead))
        if facts is not None and not self.is_held(session, lead):
            self.write(session, lead, None)
            self.write(session, lead, (facts["scrapped"], not facts["unsent"]))

    @rule(tag=PROMPTS, which=st.integers(0, 2))
    def press_run(self, tag: str, which: int) -> None:
        """Another prompts row of a group."""
        session = self.within(which)
        session.db.prompts(tag=tag)
        self.when_committed(session, lambda: self.ask(tag))

    @rule(tag=PROMPTS)
    def drop_prompts(self, tag: str) -> None:
        """No group is asked for any more; that notes nothing."""
        self.db.run("delete from public.prompts where tag = %(t)s", t=tag)
        self.model.prompts.discard(tag)

    @rule(which=st.integers(1, 2), commits=st.sampled_from([True, True, False]))
    def finish(self, which: int, *, commits: bool) -> None:
        """Commit an open transaction, or roll it back."""
        session = self.sessions[which]
        if session.open:
            session.db.run("commit" if commits else "rollback")
            for each in session.todo if commits else ():
                each()
            self.sessions[which] = Session(session.db)

    def within(self, which: int) -> Session:
        """One of the connections, in a transaction unless it is the first."""
        session = self.sessions[which]
        if which and not session.open:
            session.db.run("begin")
            session.open = True
        return session

    def when_committed(self, session: Session, change: Callable[[], None]) -> None:
        """Bring the model up to date."""
        if session.open:
            session.todo.append(change)
        else:
            change()

    def ask(self, tag: str) -> None:
        """A prompts row is committed."""
        self.model.now += 1
        self.model.prompts.add(tag)
        self.model.asked[tag] = self.model.now
        self.news |= {lead: self.model.now for lead in IDS if TAGS[lead] == tag}

    def is_held(self, session: Session | None, lead: str) -> bool:
        """Whether another transaction has written the lead's rows."""
        return lead == self.saving or any(lead in other.leads for other in self.sessions if other is not session)

    def write(self, session: Session, lead: str, facts: tuple[bool, bool] | None) -> None:
        """Make the rows of a lead what they are to be; None: none."""
        if self.is_held(session, lead):
            return
        session = self.within(self.sessions.index(session))
        before = session.leads.get(lead, self.model.leads.get(lead))
        after = None if facts is None else {"scrapped": facts[0], "unsent": not facts[1]}
        refreshed = after is None or (before is None and session.has_deleted)
        if facts is None:
            for table in ("all_leads", "lead_details"):
                session.db.run(f"delete from public.{table} where lead_id = %(id)s", id=lead)  # noqa: S608 - names of ours
            session.has_deleted = session.open
        elif before is None:
            session.db.lead(lead, tag=TAGS[lead], scrapped=facts[0])
            session.db.details(lead, sent=facts[1])
        else:
            session.db.run("update public.all_leads set scrapped = %(s)s where lead_id = %(id)s", s=facts[0], id=lead)
            session.db.run(
                "update public.lead_details set sent_to_llm = %(s)s where lead_id = %(id)s", s=facts[1], id=lead
            )
        if session.open:
            session.leads[lead] = after
        matters = (
            before != after
            if before is None or after is None
            else (before["scrapped"] != after["scrapped"] or (not before["unsent"] and after["unsent"]))
        )
        self.when_committed(session, lambda: self.settle(lead, after, matters=matters, refreshed=refreshed))

    def settle(self, lead: str, after: dict[str, bool] | None, *, matters: bool, refreshed: bool) -> None:
        """A change of a lead's rows is committed."""
        if after is None:
            self.model.leads.pop(lead, None)
        else:
            self.model.leads[lead] = after
        if matters:
            self.model.change(lead, refreshed=refreshed)
            if not refreshed:
                self.news[lead] = self.model.now

    # The operator.

    @rule(user=st.booleans(), budget=st.booleans())
    def shut_or_open(self, *, user: bool, budget: bool) -> None:
        """A pause, or a budget that is spent, of the user or of all; or its end."""
        which, user_id = ("budget" if budget else "pause", user), self.db.USER if user else None
        if which in self.shut:
            self.shut.remove(which)
        else:
            self.shut.add(which)
        if budget:
            usd = 0 if which in self.shut else None
            self.service.rpc("leadhook_set_budget", p_user_id=user_id, p_daily_usd=usd, p_actor="tester")
        else:
            name = "leadhook_pause" if which in self.shut else "leadhook_resume"
            self.service.rpc(name, p_user_id=user_id, p_actor="tester")

    @rule()
    def open_all(self) -> None:
        """So that most claims are of use."""
        for which in list(self.shut):
            self.shut_or_open(user=which[1], budget=which[0] == "budget")

    @rule(lead=LEADS)
    def hold(self, lead: str) -> None:
        """As the first round leaves what was there before."""
        job = self.model.jobs.get(lead)
        if job is not None and job.state in ("ready", "waiting") and not job.deaths:
            self.db.run(
                "update leadhook.jobs set state = 'held', replay_id = null, replay_after = null, changed = false"
                " where lead_id = %(i)s",
                i=lead,
            )
            job.again = job.changed = False
            job.go("held")

    @rule(lead=LEADS)
    def replay(self, lead: str) -> None:
        """Whatever became of it."""
        self.apply_now()
        reply = self.service.rpc("leadhook_replay", p_lead_ids=[lead], p_actor="tester")
        job, facts = self.model.jobs.get(lead), self.model.leads.get(lead)
        if job is not None and job.state == "leased":
            wanted, job.again = "queued_after", True
        elif facts is None or job is None:
            wanted = "unknown"
        elif not self.model.wanted(lead, replay=True):
            wanted = "not_eligible"
        elif job.state == "ready":
            wanted, job.replay = "already_queued", True
        else:
            wanted = "queued"
            job.go("ready", new_run=job.state in ("done", "dead"), replay=True)
            job.attempts, job.changed = 0, False
        assert [item["outcome"] for item in reply["leads"]] == [wanted]

    # The service.

    def apply_now(self) -> None:
        """Apply the outbox to its end, which a call does for 100 ms only."""
        self.db.run("update leadhook.outbox set not_before = null")
        self.service.call("leadhook.apply_outbox", p_source="webhook", p_budget="10 s")
        self.model.apply_outbox(self.locked)

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        """A new claim, or one that is repeated."""
        self.claim_with(data.draw(st.sampled_from([None, *self.tokens[-2:]])) or uuid4())

    @rule(score=SCORES)
    def work(self, score: int) -> None:
        """Everything goes well, or the application refuses the answer."""
        for lease in self.claim_with(uuid4()):
            self.save_with(lease, score)

    @rule(data=st.data())
    def claim_slowly(self, data: st.DataObject) -> None:
        """The application goes on before the claim is committed."""
        with self.worker.transaction():
            self.claim_with(uuid4(), self.worker)
            self.go_on(data)

    def go_on(self, data: st.DataObject) -> None:
        """One to three steps of the application."""
        for _ in range(data.draw(st.integers(1, 3))):
            step = data.draw(st.sampled_from(["bring", "finish", "press_run"]))
            which = data.draw(st.integers(1, 2))
            if step == "bring":
                self.write(self.sessions[data.draw(st.integers(0, 2))], data.draw(LEADS), data.draw(FACTS))
            elif step == "finish":
                self.finish(which, commits=True)
            else:
                self.press_run(data.draw(PROMPTS), data.draw(st.integers(0, 2)))

    def claim_with(self, token: UUID, by: Sql | None = None) -> "list[Row]":
        """Claim; the leases."""
        self.apply_now()
        self.tokens.append(token)
        batch = (by or self.service).claim(token=token)
        self.model.now += 1
        mine, alone = {lead for lead, job in self.model.jobs.items() if job.token == str(token)}, False
        for lead in mine:
            self.model.jobs[lead].expired = False  # a repeated claim renews its leases, also those it can't describe
        if not mine:
            self.model.expire(self.locked)
            due, alone = (set[str](), False) if self.shut else self.model.due(self.locked)
            chosen = {self.longest_due(due)} if alone else due
            for lead in chosen:
                if lead not in self.model.leads:
                    self.model.forget(lead)
                else:
                    self.model.apply(lead, reopens=())
            mine = {lead for lead in chosen if lead in self.model.jobs and self.model.jobs[lead].state == "ready"}
        mine -= {lead for lead in mine if TAGS[lead] not in self.model.prompts}  # a repeated claim can't describe it
        assert set(self.db.ids_of(batch)) == mine
        assert len(mine) <= 1 or not alone
        fences = [lease["fence"] for lease in self.leases]
        for lead in batch["leads"]:
            job = self.model.jobs[lead["lead_id"]]
            if job.state == "ready":
                assert lead["fence"] > max(fences, default=0), "a fence must grow"
                job.fence, job.token, job.changed = lead["fence"], str(token), False
                job.saw = self.model.now
                self.leases.append(self.db.lease_of(lead))
            job.go("leased")
            assert (lead["fence"], lead["run"], lead["attempts"]) == (job.fence, job.run, job.attempts)
        return [self.db.lease_of(lead) for lead in batch["leads"]]

    def longest_due(self, leads: set[str]) -> str:
        """The first of them; one that has no job any more was it."""
        rows = self.db.rows("select lead_id from leadhook.jobs order by available_at, lead_id")
        order = [row["lead_id"] for row in rows]
        return min(leads, key=lambda lead: order.index(lead) if lead in order else -1)

    @rule(lead=LEADS)
    def let_expire(self, lead: str) -> None:
        """No one renews it for a minute."""
        if lead in self.model.jobs and self.model.jobs[lead].state == "leased":
            self.db.age_job(lead, 60)
            self.model.jobs[lead].expired = True

    def some_lease(self, data: st.DataObject) -> "Row":
        """One of the newest, or any."""
        return data.draw(st.sampled_from(self.leases[-3:] * 3 + self.leases))

    def standing(self, lease: "Row") -> str:
        """What a write with this lease finds: leased, gone, or how it ended."""
        job = self.model.jobs.get(lease["lead_id"])
        if job is None:
            return "gone"
        if job.state == "leased" and job.fence == lease["fence"]:
            return "leased"
        return self.model.ended.get((lease["lead_id"], lease["fence"]), "lost")

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        """Any lease that ever was."""
        lease = self.some_lease(data)
        standing = self.standing(lease)
        wanted = {"leased": "renewed", "gone": "gone"}.get(standing, "lease_lost")
        reply = self.service.rpc("leadhook_renew", p_worker="worker-1", p_leases=[lease])
        assert self.db.outcomes(reply) == {lease["lead_id"]: wanted}
        if standing == "leased":
            self.model.jobs[lease["lead_id"]].expired = False

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), score=SCORES)
    def save(self, data: st.DataObject, score: int) -> None:
        """Any lease that ever was; only the one that is held writes."""
        self.save_with(self.some_lease(data), score)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), score=SCORES)
    def save_slowly(self, data: st.DataObject, score: int) -> None:
        """The application and other calls go on before the save is committed."""
        lease = self.some_lease(data)
        with self.saved_later(lease, score):
            self.go_on(data)
            self.claim_with(uuid4())
            self.go_on(data)

    @contextmanager
    def saved_later(self, lease: "Row", score: int) -> Iterator[None]:
        """Keep the transaction of a save open."""
        if self.refuses_all(score):
            yield
            return
        with self.worker.transaction():
            outcome = self.db.outcomes(self.worker.save(self.result_of(lease, score)))
            wanted, settle = self.what_a_save_comes_to(lease, score)
            assert outcome == {lease["lead_id"]: wanted}
            self.saving = lease["lead_id"]
            job = self.model.jobs.get(self.saving)  # the save locks it though its lease may have ended
            self.locked = self.saving if job and job.fence == lease["fence"] else ""
            yield
        self.saving = self.locked = ""
        settle()

    def save_with(self, lease: "Row", score: int) -> None:
        """Save."""
        if self.refuses_all(score):
            return
        wanted, settle = self.what_a_save_comes_to(lease, score)
        assert self.db.outcomes(self.service.save(self.result_of(lease, score))) == {lease["lead_id"]: wanted}
        settle()

    def result_of(self, lease: "Row", score: int) -> "Row":
        """What a worker sends."""
        return self.db.result_of(lease, checkpoint=self.db.paid(score))

    def refuses_all(self, score: int) -> bool:
        """A third refusal in a row would be the installation's fault, and end no lead."""
        last = self.db.rows("select outcome from leadhook.attempts order by id desc limit 2")
        return score == REFUSED and [row["outcome"] for row in last] == ["refused", "refused"]

    def what_a_save_comes_to(self, lease: "Row", score: int) -> tuple[str, Callable[[], None]]:
        """The outcome of a save, and what becomes true with its commit."""
        lead, standing = lease["lead_id"], self.standing(lease)
        if standing != "leased":
            return PAST.get(standing, "gone" if standing == "gone" else "lease_lost"), lambda: None
        if lead in self.model.leads and any(lead in session.leads for session in self.sessions):
            return "busy", lambda: None
        if lead not in self.model.leads:
            return "gone", lambda: self.model.forget(lead)
        if not self.model.wanted(lead, replay=self.model.jobs[lead].replay):
            return "unwanted", lambda: self.end(lead, "unwanted", "waiting")
        if score == REFUSED:
            return "refused", lambda: self.end(lead, "refused", "dead")

        def settle() -> None:
            self.end(lead, "saved", "done")
            self.model.leads[lead]["unsent"] = False
            self.model.answered.add(lead)

        return "saved", settle

    def end(self, lead: str, how: str, state: str) -> None:
        """A lease ends, unless its lead was deleted in the meantime."""
        if lead in self.model.jobs:
            self.model.end(lead, how, state)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), how=st.sampled_from(["retry", "returned", "dead"]))
    def release(self, data: st.DataObject, how: str) -> None:
        """Any lease that ever was."""
        lease = self.some_lease(data)
        lead, standing = lease["lead_id"], self.standing(lease)
        if standing == "leased":
            standing = self.model.end(lead, how, "dead" if how == "dead" else "ready")
            self.model.ended[lead, lease["fence"]] = standing
        outcomes = {"retry": "released", "returned": "released", "dead": "dead", "gone": "gone"}
        wanted = outcomes.get(standing, "lease_lost")
        assert self.db.outcomes(self.service.release(self.db.release_of(lease, how))) == {lead: wanted}

    @rule(lead=LEADS, score=SCORES)
    def on_demand(self, lead: str, score: int) -> None:
        """The answer of an on-demand request for a lead that is known."""
        if lead not in self.model.leads or self.refuses_all(score):
            return
        result = self.result_of({"lead_id": lead, "fence": 0}, score)
        result |= {"request_id": str(uuid4()), "age_ms": 0, "lead": {"lead_id": lead}}
        reply = self.service.rpc("leadhook_save_on_demand", p_worker="worker-9", p_results=[result])
        (outcome,) = [item["outcome"] for item in reply["leads"]]
        if any(lead in session.leads for session in self.sessions):
            assert outcome == "busy"
            self.model.jobs.setdefault(lead, Job())
            return
        assert outcome == ("refused" if score == REFUSED else "saved")
        job = self.model.jobs.setdefault(lead, Job())
        if job.state == "leased":
            self.model.ended[lead, job.fence] = "returned"
        if job.state not in ("ready", "leased"):
            self.news[lead] = -1  # no run was due, so that its refusal is the last word until something changes
        job.run += job.state in ("done", "dead")
        job.again |= job.replay and job.state in ("ready", "leased")
        job.changed |= job.state in ("ready", "leased")
        job.replay, job.attempts, job.saw = False, 0, -1
        job.fence = self.db.value("select last_value from leadhook.fences")
        if outcome == "refused":
            self.model.end(lead, "refused", "dead")
            return
        self.model.end(lead, "saved", "done")
        self.model.leads[lead]["unsent"] = False
        self.model.answered.add(lead)

    @rule()
    def sweep(self) -> None:
        """A whole round."""
        self.apply_now()
        while not self.service.rpc("leadhook_sweep", p_worker="worker-1")["round_finished"]:
            pass
        for lead in list(self.model.jobs):
            if lead not in self.model.leads:
                self.model.forget(lead)
            elif self.model.jobs[lead].state != "held":
                self.model.apply(lead, reopens=("waiting", "done"))

    # What always holds.

    @invariant()
    def what_always_holds(self) -> None:
        """By one query, since it is asked after every step."""
        (found,) = self.db.rows(WHAT_IS, ids=list(IDS))
        self.jobs_are_as_in_the_model(found["jobs"])
        assert found["twice"] == [], "one lead, one answer in a run"
        for lead in found["eligible"]:
            self.is_not_stuck(lead)
        assert found["overlooked"] == []

    def jobs_are_as_in_the_model(self, rows: list[Any]) -> None:
        """State, run, attempts, fence and what is to be replayed."""
        found = {row.pop("lead_id"): row for row in rows}
        names = ("state", "run", "attempts", "fence", "replay", "again")
        assert found == {lead: {n: getattr(job, n) for n in names} for lead, job in self.model.jobs.items()}

    def is_not_stuck(self, row: "Row") -> None:
        """An eligible lead is ready, leased or held, or a change of it waits in the outbox, or all it ever was is seen.

        By the tables alone: what the model makes of a job is not asked here. Done: it was reset without prompts,
        whose return looks at no answered lead; the next sweep round finds it.
        """
        seen = row["state"] == "dead" and self.model.jobs[row["lead_id"]].saw >= self.news.get(row["lead_id"], 0)
        assert row["noted"] or row["state"] in ("ready", "leased", "held", "done") or seen, f"{row} is stuck"


WHAT_IS: LiteralString = """
select
  (
    select coalesce(jsonb_agg(to_jsonb(j)), '[]')
    from (
      select lead_id, state, run, attempts, fence, replay_id is not null as replay, replay_after is not null as again
      from leadhook.jobs
    ) as j
  ) as jobs,
  (
    select coalesce(jsonb_agg(to_jsonb(t)), '[]')
    from (
      select lead_id, run from leadhook.attempts where outcome = 'saved' group by 1, 2 having count(*) > 1
      union all
      select lead_id, 0 from public.llm_response group by 1 having count(*) > 1
    ) as t
  ) as twice,
  (
    select coalesce(jsonb_agg(to_jsonb(e)), '[]')
    from (
      select e.lead_id, j.state,
        exists (select from leadhook.outbox o where e.lead_id = any (o.lead_ids) or o.tag = e.tag) as noted
      from leadhook.check_eligibility(%(ids)s) e
      left join leadhook.jobs j using (lead_id)
      where e.eligible
    ) as e
  ) as eligible,
  (
    select coalesce(jsonb_agg(to_jsonb(o)), '[]')
    from (
      select j.lead_id, g.shut, g.due_at, j.available_at
      from leadhook.jobs j
      left join leadhook.ready_groups g on (g.low_priority, g.user_id, g.tag) = (j.low_priority, j.user_id, j.tag)
      where j.state = 'ready' and j.deaths = 0
        and not exists (
          select from leadhook.ready_notes n
          where (n.low_priority, n.user_id, n.tag) = (j.low_priority, j.user_id, j.tag)
            and n.due_at <= j.available_at
        )
        and not coalesce((g.due_at, g.lead_id) <= (j.available_at, j.lead_id) and (
          not g.shut or leadhook.is_shut(j.user_id, j.tag, clock_timestamp()) and not exists (
            select from leadhook.budgets_left(clock_timestamp(), array[j.user_id]) l
            join leadhook.budgets b using (id)
            where b.user_id = j.user_id and l.left_usd > 0 and b.settled_on = (now() at time zone 'UTC')::date
          )
        ), false)
    ) as o
  ) as overlooked
"""
"""overlooked: a ready lead whose group is neither noted nor listed from its place on, or is shut without a reason that
ends."""


def look(wired: Sql, connect: "Connect", schedules: int, *, shrinks: bool = LONG) -> None:
    """Run the machine on a database."""
    wired.key()
    wired.control(backlog="run", max_attempts=MAX_ATTEMPTS, max_deaths=MAX_DEATHS)
    wired.run("alter table public.llm_response add constraint refuses check (score <> 13)")
    Machine.db, Machine.writers = wired, (connect(), connect())
    Machine.service, Machine.worker = (Service(connect().connection) for _ in range(2))
    wired.run("set client_min_messages = 'error'")
    for writer in Machine.writers:
        writer.run("set client_min_messages = 'error'")
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=schedules,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=not LONG,  # a merge is no place for chance; `make faults` draws new ones each time
            print_blob=True,
            phases=list(Phase) if shrinks else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_functions_do_what_the_model_says_in_any_order(wired: Sql, wired_connect: "Connect", part: int) -> None:
    """Calls of the service, of operators and of the application, some of them in transactions that stay open."""
    watch(wired)
    look(wired, wired_connect, (SCHEDULES + part) // PARTS)
    assert watched(wired.connection) - written_down() == set(), "the table of states beside leadhook.jobs lacks a move"


PLANTED: dict[str, tuple[LiteralString, LiteralString, LiteralString]] = {
    "by the clock": (
        "is_news",
        "  if p_leased_snapshot is null",
        "  return p_changed_at > p_finished_at; if p_leased_snapshot is null",
    ),
    "not noted while leased": ("decide_moves", "n.is_news then 'changed' end", "false then 'changed' end"),
    "not recalled": ("recall_changes", "j.changed and", "j.changed and false and"),
    "locked jobs passed over": ("return_to_outbox", "as t (changed_at)", "as t (changed_at) having false"),
    "prompts during a lease": ("leads_of_group", "where j.state = 'leased'", "where false"),
    "runs that on-demand answers take": ("take_on_demand", "j.changed or j.state in ('ready', 'leased')", "j.changed"),
    "every insert a refresh": ("refreshes", "return false;", "return p_operation = 'INSERT';"),
    "no note": ("note_ready_jobs", "n.state = 'ready'", "n.state = 'ready' and n.low_priority"),
    "a place too late": ("correct_groups", "due_at = n.due_at", "due_at = n.due_at + interval '1 us'"),
    "notes thrown away": ("list_ready_groups", "from taken as t", "from taken as t where t.low_priority"),
    "never opened again": ("reopen_groups", "set shut = false", "set shut = true"),
    "a late snapshot": ("lease_leads", "leased_snapshot = p_snapshot", "leased_snapshot = '9000000:9000000:'"),
}


def definition(db: Sql, name: str) -> str:
    """The statement that creates a function of ours."""
    source: str = db.value("select pg_get_functiondef(oid) from pg_proc where proname = %(n)s", n=name)
    return source


def test_each_planted_fault_has_its_place(wired: Sql) -> None:
    """Once in its function, however that was rewritten since."""
    assert {key: definition(wired, name).count(right) for key, (name, right, _) in PLANTED.items()} == dict.fromkeys(
        PLANTED, 1
    )


@pytest.mark.skipif(not LONG, reason="minutes: LEADHOOK_FAULTS=long")
@pytest.mark.parametrize("planted", PLANTED)
def test_a_lost_wake_up_is_found(wired: Sql, wired_connect: "Connect", planted: str) -> None:
    """Planted in a function of the database."""
    name, right, wrong = PLANTED[planted]
    wired.connection.execute(definition(wired, name).replace(right, wrong).encode())
    with pytest.raises((AssertionError, ExceptionGroup, Flaky)):
        look(wired, wired_connect, 1000, shrinks=False)
