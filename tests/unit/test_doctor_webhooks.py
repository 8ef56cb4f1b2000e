"""What doctor reports of the webhooks of the last hour."""

from datetime import UTC, datetime

import pytest

from leadhook.doctor.network import check_date, check_version, check_webhooks
from leadhook.domain.lead_snapshot import WebhookDelivery

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
ARRIVED = WebhookDelivery(reason="insert all_leads", sent_at=AT, status_code=202)
LOST = WebhookDelivery(reason="insert all_leads", sent_at=AT, error="Couldn't connect to server")


def test_a_service_that_does_not_answer_is_a_fault() -> None:
    (finding,) = check_webhooks([LOST, ARRIVED])
    assert (finding.level, (finding.remedy or "").startswith("Check that the service runs")) == ("fault", True)


def test_an_outage_that_is_over_asks_for_nothing() -> None:
    """A service that answers is not to be started."""
    (finding,) = check_webhooks([ARRIVED, LOST])
    assert (finding.level, (finding.remedy or "").startswith("Nothing to do")) == ("warning", True)


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("0.7.1", "warning"),
        ("0.14.0", "warning"),
        ("0.18", "warning"),
        ("0.19.0", "ok"),
        ("0.20.4", "ok"),
        ("1.0", "ok"),
    ],
)
def test_the_version_of_pg_net_is_shown_with_what_it_means(version: str, level: str) -> None:
    """Seconds instead of milliseconds, before it is woken."""
    (finding,) = check_version(version)
    assert (finding.level, version in finding.sentence) == (level, True)


@pytest.mark.parametrize("header", [None, "", "now", "Mon, 23 Nov 2026 25:61:00 GMT"])
def test_a_service_without_a_readable_date_is_no_fault(header: str | None) -> None:
    """A proxy may answer in its place."""
    assert check_date(header) == []


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0100"])
def test_the_clock_of_a_service_is_compared_in_any_zone(zone: str) -> None:
    """-0000 says that the zone is unknown; HTTP's is UTC."""
    (finding,) = check_date(f"Mon, 23 Nov 2020 08:00:00 {zone}")
    assert (finding.about, finding.level) == ("clock", "warning")
