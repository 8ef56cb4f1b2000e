"""The life of a job in a hundred lines: what the database's functions must do, in whatever order they are called."""

from dataclasses import dataclass, field

MAX_ATTEMPTS = 2  # so that it is reached often
MAX_DEATHS = 2


@dataclass
class Job:
    state: str = "waiting"
    run: int = 1
    attempts: int = 0
    deaths: int = 0
    fence: int = 0
    token: str = ""
    expired: bool = False
    replay: bool = False
    again: bool = False
    changed: bool = False  # something changed that its run has not seen
    saw: int = -1  # the moment of its last claim

    def go(self, state: str, *, new_run: bool = False, replay: bool = False) -> None:
        """Change its state; a replay requested in the meantime begins when the run ends."""
        again = self.again and state not in ("ready", "leased")
        self.state, self.expired = "ready" if again else state, False
        if again or new_run:
            self.run, self.attempts, replay = self.run + 1, 0, replay or again
            self.changed = False
        if state != "leased":
            self.token, self.again, self.replay = "", self.again and state == "ready", replay


@dataclass
class Model:
    """Moments are numbers: a claim sees what was committed at an earlier one."""

    leads: dict[str, dict[str, bool]] = field(default_factory=dict)  # lead: scrapped, unsent
    tags: dict[str, str] = field(default_factory=dict)
    prompts: set[str] = field(default_factory=set)  # tags that have prompts
    answered: set[str] = field(default_factory=set)
    jobs: dict[str, Job] = field(default_factory=dict)
    ended: dict[tuple[str, int], str] = field(default_factory=dict)  # how a lease ended
    changed: dict[str, int] = field(default_factory=dict)  # when each lead last changed
    refreshed: dict[str, int] = field(default_factory=dict)  # when it was last deleted and inserted again
    asked: dict[str, int] = field(default_factory=dict)  # when each tag last had a new prompts row
    now: int = 0

    def wanted(self, lead: str, *, replay: bool = False) -> bool:
        """Whether a lead is eligible, a replayed one without the question whether it was sent."""
        facts = self.leads.get(lead)
        return (
            facts is not None and facts["scrapped"] and self.tags[lead] in self.prompts and (facts["unsent"] or replay)
        )

    def change(self, lead: str, *, refreshed: bool = False) -> None:
        """A transaction that changed it commits."""
        self.now += 1
        (self.refreshed if refreshed else self.changed)[lead] = self.now

    def apply_outbox(self, locked: str = "") -> None:
        """Turn what was changed into jobs. A locked job is looked at again later."""
        later = {lead: at for lead, at in self.changed.items() if lead == locked}
        for mode, changed in (("refresh", self.refreshed), ("change", self.changed)):
            for lead, at in sorted(changed.items()):
                if lead not in self.leads and lead != locked:
                    self.forget(lead)
                elif lead in self.leads and (lead != locked or lead not in self.jobs):
                    self.jobs.setdefault(lead, Job())
                    self.note(lead, mode, at)
        for tag, at in self.asked.items():
            for lead in [lead for lead in self.jobs if self.tags[lead] == tag and lead in self.leads]:
                if lead != locked:
                    self.note(lead, "wake_all", at)
                elif self.jobs[lead].state not in ("ready", "done") or self.jobs[lead].replay:
                    later[lead] = at
        self.refreshed = {lead: at for lead, at in self.refreshed.items() if lead == locked}
        self.changed, self.asked = later, {}

    def note(self, lead: str, mode: str, at: int) -> None:
        """What a change comes to: wake_all is a new prompts row, refresh rows that were written again."""
        job = self.jobs[lead]
        wanted, news = self.wanted(lead), at > job.saw
        reopens = {"waiting"}
        if mode != "wake_all":
            reopens.add("done")
        if (
            mode == "change"
            or (mode == "refresh" and job.changed)
            or (mode == "wake_all" and lead not in self.answered)
        ):
            reopens.add("held")
        if (mode != "refresh" and news) or (mode == "refresh" and job.changed):
            reopens.add("dead")
        if job.state == "leased":
            job.changed |= news and (mode != "refresh" or (job.changed and wanted) or not wanted)
        elif job.state == "dead" and not wanted and mode != "wake_all":
            job.changed |= news
        else:
            self.apply(lead, tuple(reopens), sleeps=mode != "wake_all")

    def apply(self, lead: str, reopens: tuple[str, ...], *, sleeps: bool = True) -> None:
        """Bring a job in line with the application's rows."""
        job = self.jobs[lead]
        if job.state in reopens and self.wanted(lead):
            job.go("ready", new_run=job.state in ("done", "dead"))
            job.attempts, job.changed = 0, False
        elif sleeps and job.state in ("ready", "held") and not self.wanted(lead, replay=job.replay):
            job.again = job.again and self.wanted(lead, replay=True)
            job.go("waiting")

    def forget(self, lead: str) -> None:
        """It was erased."""
        self.jobs.pop(lead, None)
        self.ended = {lease: how for lease, how in self.ended.items() if lease[0] != lead}

    def end(self, lead: str, how: str, state: str) -> str:
        """End a lease; too many failed attempts end the job."""
        job = self.jobs[lead]
        self.ended[lead, job.fence] = how
        job.attempts += how in ("retry", "dead")
        last = state == "ready" and how == "retry" and job.attempts >= MAX_ATTEMPTS
        job.deaths = 0
        job.go("dead" if last else state, replay=job.replay and state == "ready" and not last)
        self.recall(lead)
        return "dead" if last else how

    def recall(self, lead: str) -> None:
        """What changed during a run that is over is looked at again."""
        job = self.jobs[lead]
        if job.changed and job.state in ("waiting", "dead"):
            job.changed = False
            self.change(lead)

    def expire(self, locked: str = "") -> None:
        """End the leases that ran out: all of a worker's leads are suspected, or the last of its suspects."""
        leased = [job for job in self.jobs.values() if job.state == "leased"]
        suspects = [job.fence for job in leased if job.deaths]
        for lead, job in self.jobs.items():
            if job.state == "leased" and job.expired and lead != locked:
                self.ended[lead, job.fence] = "lease_expired"
                job.deaths += not suspects or job.fence == max(suspects)
                dead = job.deaths >= MAX_DEATHS
                job.deaths = 0 if dead else job.deaths
                job.go("dead" if dead else "ready", replay=job.replay and not dead)
                self.recall(lead)

    def due(self, locked: str) -> tuple[set[str], bool]:
        """What a claim may hand out while one job is locked: one of these suspects, or all of these leads."""
        ready = {lead: job for lead, job in self.jobs.items() if job.state == "ready" and lead != locked}
        suspects = {lead for lead, job in ready.items() if job.deaths}
        # Two deaths are the end here, so that no suspect waits for another.
        return suspects or set(ready), bool(suspects)
