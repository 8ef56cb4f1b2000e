"""What a webhook costs, holds and forgets."""

import pytest

from leadhook.engine.dispatcher import WakeSignal
from leadhook.engine.timing import Wakeup


@pytest.fixture
async def signal() -> WakeSignal:
    return WakeSignal(Wakeup())


async def test_hints_are_kept_once_and_in_order(signal: WakeSignal) -> None:
    signal.set(["b", "a"])
    signal.set(["a", "c"])
    assert signal.take() == ("b", "a", "c")
    assert signal.take() == ()


async def test_memory_is_bounded(signal: WakeSignal) -> None:
    """500 hints are kept; the sweep finds the rest, and the signal is set all the same."""
    for n in range(60_000):
        signal.set([f"lead-{n}"])
    assert signal.is_set
    assert len(signal.take()) == 500


@pytest.mark.parametrize("hint", ["", "x" * 201])
async def test_hint_that_can_be_no_lead_is_dropped(signal: WakeSignal, hint: str) -> None:
    """200 characters are the longest that the database takes."""
    signal.set([hint, "x" * 200])
    assert signal.take() == ("x" * 200,)


async def test_hints_are_kept_again_after_they_were_taken(signal: WakeSignal) -> None:
    signal.set(f"lead-{n}" for n in range(501))
    signal.take()
    signal.set(["lead-500"])
    assert signal.take() == ("lead-500",)


async def test_sleeper_wakes_by_a_webhook_before_or_after_it_sleeps() -> None:
    wakeup = Wakeup()
    WakeSignal(wakeup).set()
    await wakeup.wait()
    await wakeup.wait(0.001)
