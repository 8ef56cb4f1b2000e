"""What the doctor knows of a model's end."""

from datetime import date

import pytest

from leadhook.doctor.keys import ENDS, check_model
from leadhook.settings import Settings

ENDING, ENDS_ON = "gemini-2.5-flash", date(2026, 12, 1)


@pytest.mark.parametrize(
    ("model", "today", "level"),
    [
        ("gemini-3.5-flash-lite", ENDS_ON, "ok"),
        (ENDING, date(2026, 11, 30), "warning"),
        (ENDING, ENDS_ON, "fault"),
        (ENDING, date(2026, 12, 2), "fault"),
    ],
)
def test_end_of_a_model_is_reported_before_it_comes(model: str, today: date, level: str) -> None:
    """With the day and what to set instead."""
    finding = check_model(model, today=today)
    assert finding.level == level
    assert model in finding.sentence
    if level != "ok":
        assert str(ENDS_ON) in finding.sentence
        assert finding.remedy == "GEMINI_MODEL=gemini-3.5-flash-lite"


def test_an_unknown_model_is_not_ok() -> None:
    """Most often a typing error, which the first lead would reveal."""
    finding = check_model("gemini-9", priced=False)
    assert finding.level == "warning"
    assert "--live" in str(finding.remedy)


def test_default_model_is_not_one_that_ends() -> None:
    """Nor is the one that is named instead."""
    assert Settings.model_fields["gemini_model"].default not in ENDS
    assert "gemini-3.5-flash-lite" not in ENDS
