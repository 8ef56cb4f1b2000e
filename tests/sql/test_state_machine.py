"""Any order of the application's writes and of the service's calls, against a model of the job.

LEADHOOK_FAULTS=long looks much longer; Hypothesis prints what repeats a failure.
"""

import os
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.sql.job_model import MAX_ATTEMPTS, MAX_DEATHS, Model
from tests.sql.job_states import watch, watched, written_down

if TYPE_CHECKING:
    from tests.sql.conftest import Row, Sql

LONG = os.environ.get("LEADHOOK_FAULTS") == "long"
IDS = ("a", "b", "c")
LEADS = st.sampled_from(IDS)
FACTS = st.sampled_from([(True, False), (True, False), (False, False), (True, True)])
PAST = {outcome: outcome for outcome in ("saved", "saved_without_message", "unwanted")}


class Machine(RuleBasedStateMachine):
    """The database and the model side by side."""

    db: "Sql"

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.leases: list[Row] = []
        self.tokens: list[UUID] = []
        self.db.run("truncate public.all_leads, public.lead_details, public.llm_response")
        self.db.run("truncate leadhook.outbox, leadhook.jobs, leadhook.attempts, leadhook.results")
        for lead in IDS:
            self.bring(lead, (True, False))

    @rule(lead=LEADS, facts=FACTS)
    def bring(self, lead: str, facts: tuple[bool, bool]) -> None:
        """A lead and its details, or a change of what is there."""
        scrapped, sent = facts
        if lead not in self.model.leads:
            self.db.lead(lead, scrapped=scrapped)
            self.db.details(lead, sent=sent)
            self.model.changed.add(lead)
        else:
            before = self.model.leads[lead]
            self.db.run("update public.all_leads set scrapped = %(s)s where lead_id = %(id)s", s=scrapped, id=lead)
            self.db.run("update public.lead_details set sent_to_llm = %(s)s where lead_id = %(id)s", s=sent, id=lead)
            if before["scrapped"] != scrapped or (not before["unsent"] and not sent):
                self.model.changed.add(lead)
        self.model.leads[lead] = {"scrapped": scrapped, "unsent": not sent}

    @rule(lead=LEADS)
    def delete(self, lead: str) -> None:
        """One DELETE erases it."""
        for table in ("all_leads", "lead_details"):
            self.db.run(f"delete from public.{table} where lead_id = %(id)s", id=lead)  # noqa: S608 - names of ours
        if self.model.leads.pop(lead, None):
            self.model.changed.add(lead)

    @rule()
    def press_run(self) -> None:
        """Another prompts row of their group."""
        self.db.prompts()
        self.model.asked = True

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        """A new claim, or one that is repeated."""
        self.claim_with(data.draw(st.sampled_from([None, *self.tokens[-2:]])) or uuid4())

    @rule(score=st.sampled_from([10, 90]))
    def work(self, score: int) -> None:
        """Everything goes well."""
        for lease in self.claim_with(uuid4()):
            self.save_with(lease, score)

    def claim_with(self, token: UUID) -> "list[Row]":
        """Claim; the leases."""
        self.tokens.append(token)
        batch = self.db.claim(token=token)
        self.model.apply_outbox()
        mine, alone = {lead for lead, job in self.model.jobs.items() if job.token == str(token)}, False
        if not mine:
            self.model.expire()
            due, alone = self.model.due()
            chosen = {self.longest_due(due)} if alone else due
            for lead in chosen:
                if lead not in self.model.leads:
                    self.model.forget(lead)
                else:
                    self.model.apply(lead, reopens=())
            mine = {lead for lead in chosen if lead in self.model.jobs and self.model.jobs[lead].state == "ready"}
        assert set(self.db.ids_of(batch)) == mine
        assert len(mine) <= 1 or not alone
        fences = [lease["fence"] for lease in self.leases]
        for lead in batch["leads"]:
            job = self.model.jobs[lead["lead_id"]]
            if job.state == "ready":
                assert lead["fence"] > max(fences, default=0), "a fence must grow"
                job.fence, job.token = lead["fence"], str(token)
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
        reply = self.db.rpc("leadhook_renew", p_worker="worker-1", p_leases=[lease])
        assert self.db.outcomes(reply) == {lease["lead_id"]: wanted}
        if standing == "leased":
            self.model.jobs[lease["lead_id"]].expired = False

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), score=st.sampled_from([10, 90]), written=st.booleans())
    def save(self, data: st.DataObject, score: int, written: bool) -> None:  # noqa: FBT001 - drawn by the machine
        """Any lease that ever was; only the one that is held writes. Sometimes the message failed."""
        self.save_with(self.some_lease(data), score, written=written)

    def save_with(self, lease: "Row", score: int, *, written: bool = True) -> None:
        """Save."""
        result = self.db.result_of(lease, score)
        if not written:
            failure = {"code": "message_escapes", "reason": "It has escapes."}
            result |= {"checkpoint": self.db.paid(score, message=None), "message_failure": failure}
        lead, standing = lease["lead_id"], self.standing(lease)
        wanted = PAST.get(standing, "gone" if standing == "gone" else "lease_lost")
        if standing == "leased":
            if lead not in self.model.leads:
                wanted = "gone"
                self.model.forget(lead)
            elif self.model.wanted(lead, replay=self.model.jobs[lead].replay):
                outcome = "saved" if written or score < 50 else "saved_without_message"
                wanted = self.model.end(lead, outcome, "done")
                self.model.leads[lead]["unsent"] = False
            else:
                wanted = self.model.end(lead, "unwanted", "waiting")
                self.model.changed.add(lead)
        assert self.db.outcomes(self.db.save(result)) == {lead: wanted}

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
        assert self.db.outcomes(self.db.release(self.db.release_of(lease, how))) == {lead: wanted}

    @rule(lead=LEADS)
    def replay(self, lead: str) -> None:
        """Whatever became of it."""
        reply = self.db.rpc("leadhook_replay", p_lead_ids=[lead], p_actor="tester")
        self.model.apply_outbox()
        job, facts = self.model.jobs.get(lead), self.model.leads.get(lead)
        if job is not None and job.state == "leased":
            wanted, job.again = "queued_after", True
        elif facts is None or job is None:
            wanted = "unknown"
        elif not facts["scrapped"]:
            wanted = "not_eligible"
        elif job.state == "ready":
            wanted, job.replay = "already_queued", True
        else:
            wanted = "queued"
            job.go("ready", new_run=job.state in ("done", "dead"), replay=True)
            job.attempts = 0
        assert [item["outcome"] for item in reply["leads"]] == [wanted]

    @rule()
    def sweep(self) -> None:
        """A whole round."""
        while not self.db.rpc("leadhook_sweep", p_worker="worker-1")["round_finished"]:
            pass
        self.model.apply_outbox()
        for lead in list(self.model.jobs):
            if lead not in self.model.leads:
                self.model.forget(lead)
            else:
                self.model.apply(lead, reopens=("waiting", "done"))

    @invariant()
    def jobs_are_as_in_the_model(self) -> None:
        """State, run, attempts, fence and what is to be replayed."""
        rows: list[Any] = self.db.rows(
            "select lead_id, state, run, attempts, fence, replay_id is not null as replay,"
            " replay_after is not null as again from leadhook.jobs"
        )
        found = {row.pop("lead_id"): row for row in rows}
        names = ("state", "run", "attempts", "fence", "replay", "again")
        assert found == {lead: {n: getattr(job, n) for n in names} for lead, job in self.model.jobs.items()}

    @invariant()
    def saved_once_a_run(self) -> None:
        """One lead, one answer."""
        twice = self.db.rows(
            "select lead_id, run from leadhook.attempts where starts_with(outcome, 'saved')"
            " group by 1, 2 having count(*) > 1"
            " union all select lead_id, 0 from public.llm_response group by 1 having count(*) > 1"
        )
        assert twice == []


def test_functions_do_what_the_model_says_in_any_order(wired: "Sql") -> None:
    """Claims, renewals, saves, releases, replays, sweeps, expired leases and the application's writes."""
    wired.key()
    wired.prompts()
    wired.control(backlog="run", max_attempts=MAX_ATTEMPTS, max_deaths=MAX_DEATHS)
    watch(wired)
    Machine.db = wired
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=400 if LONG else 20,
            stateful_step_count=60 if LONG else 30,
            deadline=None,
            database=None,
            derandomize=not LONG,  # a merge is no place for chance; `make faults` draws new ones each time
            print_blob=True,
            phases=list(Phase) if LONG else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert watched(wired) - written_down() == set(), "the table of states beside leadhook.jobs lacks a move"
