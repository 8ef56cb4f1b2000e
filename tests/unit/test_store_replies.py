"""How a claim's reply becomes a batch."""

from typing import Any

import pytest

from leadhook.store.replies import Status, to_batch


def lead(lead_id: str, prompts_ref: str = "0") -> dict[str, Any]:
    """As the database hands it out."""
    return {
        "lead_id": lead_id,
        "fence": 7,
        "run": 1,
        "attempts": 0,
        "slow": False,
        "found_by": "ring",
        "eligible_at": "2026-11-23T04:00:00.123456+00:00",
        "waited_ms": 12,
        "lead": {"lead_id": lead_id, "experience": [{"title": "CTO"}], "a_later_field": 1},
        "prompts_ref": prompts_ref,
        "paid": None,
    }


def test_leads_of_one_prompts_row_share_it() -> None:
    """50 leads do not hold 50 copies of a company's text."""
    batch = to_batch({"leads": [lead("a"), lead("b")], "prompts": {"0": {"message_prompt": "Be kind."}}})
    assert batch.leads[0].prompts is batch.leads[1].prompts
    assert batch.leads[0].prompts.message_prompt == "Be kind."


def test_reply_is_read_whole() -> None:
    """Keys, cursor and times; what a later version adds is ignored."""
    batch = to_batch(
        {
            "busy": False,
            "cut": True,
            "leads": [lead("a")],
            "prompts": {"0": {}},
            "keys": [{"fingerprint": "f", "api_key": "fake"}],
            "cursor": {"user_id": "00000000-0000-0000-0000-000000000001", "tag": "t"},
            "next_due_ms": 0,
            "lease_ms": 3000,
            "renew_ms": 1000,
            "start_limit_ms": 1500,
            "no_key": False,
            "a_later_field": 1,
        }
    )
    assert (batch.cut, batch.next_due_ms, batch.renew_ms) == (True, 0, 1000)
    assert batch.cursor is not None
    assert batch.cursor.tag == "t"
    assert batch.keys[0].api_key.get_secret_value() == "fake"
    assert "fake" not in repr(batch)


@pytest.mark.parametrize("missing", [{}, {"leads": None, "prompts": None, "keys": None}])
def test_empty_reply_is_an_empty_batch(missing: dict[str, Any]) -> None:
    """Lists may be absent or null."""
    assert to_batch(missing).leads == ()


def test_lead_without_its_prompts_is_refused() -> None:
    """It could not be judged."""
    with pytest.raises(KeyError):
        to_batch({"leads": [lead("a", "1")], "prompts": {"0": {}}})


def test_status_tells_the_migration() -> None:
    """Which the database calls its schema."""
    assert Status.model_validate({"schema": "20261123000100_x", "keys": {"total": 2}}).migration == "20261123000100_x"
