"""The life of a job in sixty lines: what the database's functions must do, in whatever order they are called."""

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

    def go(self, state: str, *, new_run: bool = False, replay: bool = False) -> None:
        """Change its state; a replay requested in the meantime begins when the run ends."""
        again = self.again and state not in ("ready", "leased")
        self.state, self.expired = "ready" if again else state, False
        if again or new_run:
            self.run, self.attempts, replay = self.run + 1, 0, replay or again
        if state != "leased":
            self.token, self.again, self.replay = "", self.again and state == "ready", replay


@dataclass
class Model:
    leads: dict[str, dict[str, bool]] = field(default_factory=dict)  # lead: scrapped, unsent
    jobs: dict[str, Job] = field(default_factory=dict)
    ended: dict[tuple[str, int], str] = field(default_factory=dict)  # how a lease ended
    changed: set[str] = field(default_factory=set)
    asked: bool = False  # a prompts row was inserted

    def wanted(self, lead: str, *, replay: bool = False) -> bool:
        """Whether a lead is eligible, a replayed one without the question whether it was sent."""
        return lead in self.leads and self.leads[lead]["scrapped"] and (self.leads[lead]["unsent"] or replay)

    def apply_outbox(self) -> None:
        """Turn what was changed into jobs."""
        for lead in sorted(self.changed):
            if lead not in self.leads:
                self.forget(lead)
            else:
                self.jobs.setdefault(lead, Job())
                self.apply(lead, reopens=("waiting", "done", "dead"))
        for lead in self.jobs if self.asked else ():
            self.apply(lead, reopens=("waiting", "dead"), sleeps=False)
        self.changed, self.asked = set(), False

    def apply(self, lead: str, reopens: tuple[str, ...], *, sleeps: bool = True) -> None:
        """Bring a job in line with the application's rows."""
        job = self.jobs[lead]
        if job.state in reopens and self.wanted(lead):
            job.go("ready", new_run=job.state in ("done", "dead"))
            job.attempts = 0
        elif sleeps and job.state == "ready" and not self.wanted(lead, replay=job.replay):
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
        return "dead" if last else how

    def expire(self) -> None:
        """End the leases that ran out: all of a worker's leads are suspected, or the last of its suspects."""
        leased = [job for job in self.jobs.values() if job.state == "leased"]
        suspects = [job.fence for job in leased if job.deaths]
        for lead, job in self.jobs.items():
            if job.state == "leased" and job.expired:
                self.ended[lead, job.fence] = "lease_expired"
                job.deaths += not suspects or job.fence == max(suspects)
                dead = job.deaths >= MAX_DEATHS
                job.deaths = 0 if dead else job.deaths
                job.go("dead" if dead else "ready", replay=job.replay and not dead)

    def due(self) -> tuple[set[str], bool]:
        """What a claim may hand out: one of these suspects, or all of these leads."""
        suspects = {lead for lead, job in self.jobs.items() if job.state == "ready" and job.deaths}
        # Two deaths are the end here, so that no suspect waits for another.
        return suspects or {lead for lead, job in self.jobs.items() if job.state == "ready"}, bool(suspects)
