"""A claim that fails because of one lead is narrowed down to that lead."""

import anyio
import pytest
from tests.unit.engine.conftest import World

from leadhook.domain.failure import StoreError
from leadhook.domain.job import Batch, ClaimRequest, LeaseRef

CODES = ["57014", "reply_not_understood", "timeout", "disconnected", "PGRST001", "57P01"]


class Database:
    """Hands out its leads in order, one token at a time, as leadhook_claim does; some of them make every reply fail."""

    def __init__(self, world: World, leads: list[str], bad: set[str], code: str) -> None:
        self.world, self.waiting, self.bad = world, list(leads), bad
        kind = "misconfigured" if code == "reply_not_understood" else "unavailable"
        self.error = StoreError(kind, code, "it failed")  # type: ignore[arg-type]
        self.fences = {lead: number for number, lead in enumerate(leads, 1)}
        self.answered: list[str] = []
        world.store.claim = self.claim  # type: ignore[method-assign]
        world.store.claim_bare = self.claim_bare  # type: ignore[method-assign]

    async def claim(self, request: ClaimRequest) -> Batch:
        await anyio.sleep(0.1)
        given = self.waiting[: request.limit]
        if self.bad & set(given):
            raise self.error
        self.waiting = self.waiting[len(given) :]
        self.answered += given
        return self.world.batch(*(self.world.lead(lead, fence=self.fences[lead]) for lead in given), has_more=True)

    async def claim_bare(self, request: ClaimRequest) -> LeaseRef | None:  # noqa: ARG002 - named by the port
        return LeaseRef(lead_id=self.waiting[0], fence=self.fences[self.waiting[0]]) if self.waiting else None

    def forget(self, *leads: str) -> None:
        self.waiting = [lead for lead in self.waiting if lead not in leads]


@pytest.mark.parametrize("code", CODES)
async def test_lead_that_fails_every_claim_is_set_aside_and_the_others_are_answered(world: World, code: str) -> None:
    leads = [f"lead-{number:02}" for number in range(16)]
    database = Database(world, leads, {"lead-05"}, code)
    world.store.script["release"].append(lambda: database.forget("lead-05"))
    await world.run(30, slots=16)
    (item,) = world.releases
    assert (item.lead_id, item.outcome, item.error_code) == ("lead-05", "dead", "evaluation_failed")
    assert database.answered == [lead for lead in leads if lead != "lead-05"]


async def test_several_in_a_row_are_not_all_dead(world: World) -> None:
    """Where no lead can be read at all, it is the installation's fault: the first one ends, the others wait."""
    leads = [f"lead-{number}" for number in range(3)]
    database = Database(world, leads, set(leads), "reply_not_understood")
    world.store.script["release"] += [lambda lead=lead: database.forget(lead) for lead in leads]
    await world.run(60)
    outcomes = [item.outcome for item in world.releases]
    assert outcomes == ["dead", "returned", "returned"]


async def test_a_bare_claim_that_fails_too_blames_no_lead(world: World) -> None:
    """The database is slow, whatever the lead: it is asked again, ever more rarely."""
    database = Database(world, ["lead-1"], {"lead-1"}, "timeout")

    async def fails(request: ClaimRequest) -> LeaseRef | None:  # noqa: ARG001 - named by the port
        raise database.error

    world.store.claim_bare = fails  # type: ignore[method-assign]
    async with world.engine():
        await anyio.sleep(60)
        assert world.releases == []
        database.bad = set()
        await anyio.sleep(10)
    assert database.answered == ["lead-1"]
