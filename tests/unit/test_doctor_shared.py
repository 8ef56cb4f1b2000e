"""The doctor makes the same findings as `/ready` and `leadhook status`, whichever way the status was read."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from leadhook.doctor.check import Check, Level, check_installation
from leadhook.doctor.examination import ShownOnce
from leadhook.domain.findings import Code, check_everything, check_status
from leadhook.domain.status import Status

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
USERS = [UUID(int=1), UUID(int=2)]
SET_UP = {"url_set": True, "secret_set": True, "pg_net": True}
WORKING = {
    "keys": {"total": 1, "healthy": 1},
    "webhook_setup": SET_UP,
    "workers": [{"worker": "w", "claimed_ms": 1}],
}
PAUSED = [{"user_id": user, "actor": "ada", "paused_at": AT} for user in USERS]


@pytest.mark.parametrize(
    ("changes", "about", "level", "code"),
    [
        ({"keys": {}}, "keys", Level.FAULT, Code.NO_KEY),
        ({"triggers": {"prompts": False}}, "triggers", Level.FAULT, Code.TRIGGER_MISSING),
        ({"webhook_setup": {"vault_error": "22000"}}, "webhooks", Level.FAULT, Code.VAULT_UNREADABLE),
        ({"webhook_setup": {"url_set": True, "pg_net": True}}, "webhooks", Level.FAULT, Code.WEBHOOK_NOT_SET_UP),
        ({"webhook_setup": SET_UP | {"outbox_guards": ["rule r"]}}, "webhooks", Level.FAULT, Code.OUTBOX_GUARDED),
        ({"workers": []}, "leads", Level.FAULT, Code.NO_WORKER),
        ({"pauses": [{"actor": "ada", "paused_at": AT}]}, "leads", Level.FAULT, Code.PAUSED),
        ({"pauses": PAUSED[:1]}, "leads", Level.WARNING, Code.PAUSED),
        ({"jobs": {"held": 2}}, "leads", Level.WARNING, Code.LEADS_HELD),
        ({"held_snapshot": {"held_by": "session", "pid": 7}}, "leads", Level.WARNING, Code.SNAPSHOT_HELD),
        ({"jobs": {"dead": 2}}, "leads", Level.WARNING, Code.LEADS_DEAD),
    ],
)
def test_a_finding_has_the_words_of_status_and_says_what_it_is_about(
    changes: dict[str, object], about: str, level: Level, code: Code
) -> None:
    """Sentence and remedy stand in one place; leads that wait for the sweep are a fault here."""
    status = Status.model_validate(WORKING | changes)
    (check,) = check_installation(status, 300)
    assert (check.about, check.level, check.code) == (about, level, code)
    everything = check_everything(status, 300)
    shown = {str(finding) for finding in (*everything.reasons, *everything.warnings)}
    if code is not Code.LEADS_DEAD:
        assert shown == {f"{check.sentence} {check.remedy}"}


def test_a_sound_installation_has_no_finding() -> None:
    assert check_installation(Status.model_validate(WORKING), 300) == []


def test_each_finding_is_shown_once_but_two_of_one_code_are_both_shown() -> None:
    """The database, the API and `/ready` report the same pauses."""
    status = Status.model_validate(WORKING | {"pauses": PAUSED})
    shown: list[Check] = []
    report = ShownOnce(shown.append)
    report.add(check_installation(status, 300))
    report.add(check_installation(status, 300))
    service = [
        Check(about="service", level=Level.FAULT, code=finding.code, sentence="The service reports it.")
        for finding in check_status(status).warnings
    ]
    report.add(service)
    assert [check.code for check in shown] == [Code.PAUSED, Code.PAUSED]
