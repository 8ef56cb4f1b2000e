"""What a ring costs, holds and forgets."""

import pytest

from leadhook.engine.doorbell import Doorbell
from leadhook.engine.timing import Wakeup


@pytest.fixture
async def bell() -> Doorbell:
    """Nobody has rung it."""
    return Doorbell(Wakeup())


async def test_rings_become_one(bell: Doorbell) -> None:
    """However many, one claim answers them."""
    bell.ring()
    bell.ring()
    assert bell.take() == ()
    assert not bell.rung


async def test_hints_are_kept_once_and_in_order(bell: Doorbell) -> None:
    """Until they are taken."""
    bell.ring(["b", "a"])
    bell.ring(["a", "c"])
    assert bell.take() == ("b", "a", "c")
    assert bell.take() == ()


async def test_memory_is_bounded(bell: Doorbell) -> None:
    """500 hints; the sweep finds the rest, and the bell still rings."""
    for n in range(60_000):
        bell.ring([f"lead-{n}"])
    assert bell.rung
    assert len(bell.take()) == 500
    assert bell.dropped == 59_500


@pytest.mark.parametrize("hint", ["", "x" * 201])
async def test_hint_that_can_be_no_lead_is_dropped(bell: Doorbell, hint: str) -> None:
    """200 characters are the longest that the database takes."""
    bell.ring([hint, "x" * 200])
    assert bell.take() == ("x" * 200,)
    assert bell.dropped == 1


async def test_bell_can_ring_again_after_it_was_taken(bell: Doorbell) -> None:
    """Room is made by taking."""
    bell.ring(f"lead-{n}" for n in range(501))
    bell.take()
    bell.ring(["lead-500"])
    assert bell.take() == ("lead-500",)


async def test_sleeper_wakes_by_a_ring_before_or_after_it_sleeps() -> None:
    """A ring that nobody waits for is not forgotten."""
    wakeup = Wakeup()
    Doorbell(wakeup).ring()
    await wakeup.wait()
    await wakeup.wait(0.001)
