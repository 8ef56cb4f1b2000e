"""What doctor says of the rings of the last hour."""

from leadhook.doctor.ringing import judge_rings

ARRIVED = {"status_code": 202, "error_msg": None, "not_sent": None, "timed_out": False}
LOST = {"status_code": None, "error_msg": "Couldn't connect to server", "not_sent": None, "timed_out": False}


def test_a_service_that_does_not_answer_is_a_fault() -> None:
    """With what starts it."""
    (finding,) = judge_rings([LOST, ARRIVED])
    assert (finding.level, (finding.fix or "").startswith("Start the service")) == ("fault", True)


def test_an_outage_that_is_over_asks_for_nothing() -> None:
    """A service that answers is not to be started."""
    (finding,) = judge_rings([ARRIVED, LOST])
    assert (finding.level, (finding.fix or "").startswith("Nothing, as newer ones arrive")) == ("warning", True)
