"""What the model would be asked for, in tokens: an estimate that says so."""

from leadhook.domain.forecast import PricedModel, TextSize, estimate
from leadhook.domain.spend import Price

PRICED = PricedModel("gemini-x", Price(input=0.3, cached=0.03, output=2.5))
SIZE = TextSize(leads=1000, score_chars=8_000_000, message_chars=6_000_000)


def test_forecast_shows_tokens_and_that_they_are_estimated() -> None:
    """Four characters a token; each lead may get a message."""
    assert str(estimate(SIZE, PRICED)) == (
        "estimate for 1000 leads, from the lengths of the texts: 1000 scores of 2.0 million tokens in and 250,000 out, "
        "and as many messages at most of 1.5 million in and 200,000 out; about $2.17 at most with gemini-x"
    )


def test_forecast_of_some_takes_the_average_of_all() -> None:
    assert "100 scores of 200,000 tokens in and 25,000 out" in str(estimate(SIZE, PRICED, 100))


def test_forecast_of_nothing_is_nothing() -> None:
    """No lead was measured, so there is no average."""
    nothing = TextSize(leads=0, score_chars=0, message_chars=0)
    assert "0 scores of 0 tokens in and 0 out" in str(estimate(nothing, PRICED))
    assert "5 scores of 0 tokens in and 1,200 out" in str(estimate(nothing, PRICED, 5))


def test_forecast_of_a_model_without_a_price_says_that_dollars_are_unknown() -> None:
    """A nought would be taken for a price."""
    assert str(estimate(SIZE, PricedModel("gemini-9"))).endswith(
        "in dollars: unknown, as no price of gemini-9 is known (docs/spend.md)"
    )
