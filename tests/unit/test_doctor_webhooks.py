"""What doctor says of the webhooks of the last hour."""

from leadhook.doctor.webhooks import check_webhook_deliveries

ARRIVED = {"status_code": 202, "error_msg": None, "not_sent": None, "timed_out": False}
LOST = {"status_code": None, "error_msg": "Couldn't connect to server", "not_sent": None, "timed_out": False}


def test_a_service_that_does_not_answer_is_a_fault() -> None:
    """With what starts it."""
    (finding,) = check_webhook_deliveries([LOST, ARRIVED])
    assert (finding.level, (finding.fix or "").startswith("Start the service")) == ("fault", True)


def test_an_outage_that_is_over_asks_for_nothing() -> None:
    """A service that answers is not to be started."""
    (finding,) = check_webhook_deliveries([ARRIVED, LOST])
    assert (finding.level, (finding.fix or "").startswith("Nothing, as newer ones arrive")) == ("warning", True)
