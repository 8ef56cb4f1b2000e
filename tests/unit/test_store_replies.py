"""How a claim's reply becomes a batch."""

from typing import Any
from uuid import UUID

import pytest

from leadhook.domain.status import Status
from leadhook.store.columns import DEEPEST, MOST_DIGITS
from leadhook.store.replies import to_batch


def lead(lead_id: str, prompts_ref: str = "0") -> dict[str, Any]:
    return {
        "lead_id": lead_id,
        "fence": 7,
        "run": 1,
        "attempts": 0,
        "low_priority": False,
        "source": "webhook",
        "eligible_at": "2026-11-23T04:00:00.123456+00:00",
        "waited_ms": 12,
        "lead": {"lead_id": lead_id, "experience": [{"title": "CTO"}], "a_later_field": 1},
        "prompts_ref": prompts_ref,
        "checkpoint": None,
    }


def test_leads_of_one_prompts_row_share_it() -> None:
    """50 leads do not hold 50 copies of a company's text."""
    batch = to_batch({"leads": [lead("a"), lead("b")], "prompts": {"0": {"message_prompt": "Be kind."}}})
    assert batch.leads[0].prompts is batch.leads[1].prompts
    assert batch.leads[0].prompts.message_prompt == "Be kind."


def test_reply_is_read_whole() -> None:
    batch = to_batch(
        {
            "busy": False,
            "has_more": True,
            "leads": [lead("a")],
            "prompts": {"0": {}},
            "keys": [{"fingerprint": "f", "api_key": "fake"}],
            "last_user": "00000000-0000-0000-0000-000000000001",
            "next_due_ms": 0,
            "lease_ms": 3000,
            "renew_ms": 1000,
            "start_limit_ms": 1500,
            "a_later_field": 1,
        }
    )
    assert (batch.has_more, batch.next_due_ms, batch.renew_ms) == (True, 0, 1000)
    assert batch.last_user == UUID(int=1)
    assert batch.keys[0].api_key.get_secret_value() == "fake"
    assert "fake" not in repr(batch)


@pytest.mark.parametrize("missing", [{}, {"leads": None, "prompts": None, "keys": None}])
def test_empty_reply_is_an_empty_batch(missing: dict[str, Any]) -> None:
    assert to_batch(missing).leads == ()


def test_lead_without_its_prompts_is_refused() -> None:
    with pytest.raises(KeyError):
        to_batch({"leads": [lead("a", "1")], "prompts": {"0": {}}})


READABLE: list[tuple[str, Any]] = [
    ('[{"title": "CTO"}]', [{"title": "CTO"}]),
    ('{"at": [1, 2.5, true, null]}', {"at": [1, 2.5, True, None]}),
    ('"10 years"', "10 years"),
    ("null", None),
    ('["a\\u0000b", "\\ud83d", "\\ud83d\\ude00"]', ["ab", "\ufffd", "😀"]),
    ("[" * DEEPEST + "]" * DEEPEST, ...),
    ('["' + "[" * 5000 + '\\"[[["]', ["[" * 5000 + '"[[[']),
    ('["' + "1" * 5000 + '"]', ["1" * 5000]),
    ("[" + "1" * MOST_DIGITS + "]", ...),
    ('[{"at": "cut in its mid', '[{"at": "cut in its mid'),
]
UNREADABLE = [
    *("[" * levels + "]" * levels for levels in (DEEPEST + 1, 300, 1_200, 5_000, 50_000)),
    '{"a":' * 300 + "1" + "}" * 300,
    "[" * 100_000,
    "[" + "1" * (MOST_DIGITS + 1) + "]",
    "1" * 100_000,
    '{"pi": 3.' + "1" * 100_000 + "}",
]


@pytest.mark.parametrize(("text", "value"), READABLE)
def test_json_column_is_read_from_its_text(text: str, value: Any) -> None:
    batch = to_batch({"leads": [described("a", text)], "prompts": {"0": {}}})
    assert batch.leads[0].unreadable is None
    assert value is ... or batch.leads[0].lead.experience == value


@pytest.mark.parametrize("text", UNREADABLE)
def test_column_that_cannot_be_read_is_named_and_the_other_leads_are_read(text: str) -> None:
    """Nested too deep, or too long a number: no parser sees it."""
    batch = to_batch({"leads": [lead("a"), described("b", text), lead("c")], "prompts": {"0": {}}})
    assert [bool(lead.unreadable) for lead in batch.leads] == [False, True, False]
    assert "experience" in str(batch.leads[1].unreadable)
    assert batch.leads[1].lead.experience is None


def test_field_of_another_type_is_named() -> None:
    odd = lead("a") | {"lead": {"lead_id": "a", "bio": ["no text"]}}
    batch = to_batch({"leads": [odd, lead("b")], "prompts": {"0": {}}})
    assert "bio" in str(batch.leads[0].unreadable)
    assert batch.leads[1].unreadable is None


def described(lead_id: str, experience: str) -> dict[str, Any]:
    """A lead whose experience is a JSON column."""
    return lead(lead_id) | {"lead": {"lead_id": lead_id, "experience": {"json": experience}}}


def test_status_has_the_migration() -> None:
    """Which the database calls its schema."""
    assert Status.model_validate({"schema": "20261123000100_x", "keys": {"total": 2}}).migration == "20261123000100_x"
