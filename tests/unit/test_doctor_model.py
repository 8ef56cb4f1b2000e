"""What the doctor knows of a model: its end, and its price."""

from datetime import date

import pytest

from leadhook.doctor.keys import check_model
from leadhook.domain.spend import Price
from leadhook.prices import PriceList, read_prices
from leadhook.settings import Settings

OURS = read_prices(None)
DEFAULT = Settings.model_fields["gemini_model"].default
ENDING, ENDS_ON = "gemini-2.5-flash", date(2026, 12, 1)


@pytest.mark.parametrize(
    ("model", "today", "level"),
    [
        (DEFAULT, ENDS_ON, "ok"),
        (ENDING, date(2026, 10, 31), "ok"),
        (ENDING, date(2026, 11, 1), "warning"),
        (f"models/{ENDING}", date(2026, 11, 30), "warning"),
        (ENDING, ENDS_ON, "fault"),
        (ENDING, date(2026, 12, 2), "fault"),
    ],
)
def test_end_of_a_model_is_reported_thirty_days_before(model: str, today: date, level: str) -> None:
    finding = check_model(model, OURS, today=today)
    assert finding.level == level
    assert model in finding.sentence
    if model != DEFAULT:
        assert str(ENDS_ON) in finding.sentence
    if level != "ok":
        assert "`leadhook evaluate --model gemini-3.5-flash-lite --limit 100`" in str(finding.remedy)


def test_a_price_file_of_ones_own_may_name_an_end_and_hides_none() -> None:
    """Prices are replaced as a whole; what Google ends is ended all the same."""
    own = PriceList(
        read_on=ENDS_ON,
        source="a test",
        usd_per_million_tokens={ENDING: (Price(input=1, cached=1, output=1),)},
        retired_on={"gemini-9": ENDS_ON},
    )
    levels = [check_model(model, own, today=ENDS_ON).level for model in (ENDING, "gemini-9")]
    assert levels == ["fault", "fault"]


@pytest.mark.parametrize(("model", "words"), [("gemini-9", "--live"), ("gemini-4-argon", "GEMINI_PRICE_FILE")])
def test_a_model_that_is_unknown_or_has_no_known_price_is_not_ok(model: str, words: str) -> None:
    """Most often a typing error, which the first lead would reveal; or its calls are booked at the highest price."""
    finding = check_model(model, OURS)
    assert finding.level == "warning"
    assert words in str(finding.remedy)


def test_default_model_is_not_one_that_ends() -> None:
    assert DEFAULT not in OURS.retired_on
    assert "gemini-3.5-flash-lite" not in OURS.retired_on
