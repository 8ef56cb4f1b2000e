"""The file of prices: ours is whole, and a wrong one is explained at the start."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.support.settings import REQUIRED

from leadhook.app import create_app
from leadhook.domain.lead import Prompts
from leadhook.domain.results import Usage
from leadhook.domain.spend import Price, Tariff
from leadhook.gemini import limits
from leadhook.prices import price_here, read_prices
from leadhook.settings import Settings, SettingsError, load_settings

GOOD: dict[str, Any] = {
    "read_on": "2026-11-22",
    "source": "a test",
    "usd_per_million_tokens": {"gemini-x": {"input": 1, "cached": 0.1, "output": 2}},
}


def test_our_file_knows_the_default_model() -> None:
    prices = read_prices(None)
    default = Settings.model_fields["gemini_model"].default
    assert prices.price_of(default) == prices.price_of(f"models/{default}") == Price(input=0.3, cached=0.03, output=2.5)
    assert prices.price_of("gemini-unheard-of") is None
    assert "ai.google.dev" in prices.source
    every = [price for listed in prices.usd_per_million_tokens.values() for price in listed]
    assert all(price.cached <= price.input <= price.output for price in every)


def test_our_file_has_one_price_for_each_day() -> None:
    """The periods of a model follow each other without gap or overlap; the first and the last are open."""
    for listed in read_prices(None).usd_per_million_tokens.values():
        assert [price.first_day for price in listed][:1] in ([], [None])
        assert [price.until for price in listed][-1:] in ([], [None])
        for before, after in pairwise(listed):
            assert before.until is not None
            assert after.first_day == before.until + timedelta(days=1)


@pytest.mark.parametrize(("day", "usd"), [(date(2026, 12, 31), 0.75), (date(2027, 1, 1), 1.50)])
def test_a_price_holds_on_its_days(day: date, usd: float) -> None:
    found = read_prices(None).price_of("gemini-3.7-flash", day)
    assert found is not None
    assert found.input == usd


def test_a_running_service_books_at_the_price_of_the_day() -> None:
    today = datetime.now(UTC).date()
    prices = (
        Price.model_validate({"until": today - timedelta(days=1), "input": 1, "cached": 1, "output": 1}),
        Price.model_validate({"from": today, "input": 2, "cached": 2, "output": 2}),
    )
    assert Tariff(prices, limits.call_limits()).cost(Usage(calls=1, input_tokens=1_000_000)) == 2


def test_a_listed_model_without_a_known_price_is_booked_at_the_highest_price() -> None:
    """So a budget holds as well as it can; a model that is not listed has no price."""
    prices = read_prices(None)
    every = [price for listed in prices.usd_per_million_tokens.values() for price in listed]
    found = prices.price_of("gemini-4-argon")
    assert found is not None
    assert (found.input, found.output) == (max(p.input for p in every), max(p.output for p in every))
    assert not prices.knows_price("gemini-4-argon")


def test_file_of_the_settings_takes_the_place_of_ours(tmp_path: Path) -> None:
    """Models that it does not name have no price."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(GOOD))
    prices = read_prices(file)
    assert prices.price_of("gemini-x") == Price(input=1, cached=0.1, output=2)
    assert prices.price_of("gemini-3.5-flash-lite") is None


def changed(**changes: Any) -> str:
    return json.dumps(GOOD | changes)


def priced(**price: Any) -> str:
    return changed(usd_per_million_tokens={"gemini-x": {"input": 1, "cached": 1, "output": 1} | price})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the file: Invalid JSON"),
        ("gemini-x: 1", "the file: Invalid JSON"),
        ("[]", "the file: "),
        ("{}", "read_on: Field required"),
        (changed(read_on="lately"), "read_on: "),
        (changed(usd_per_million_tokens={"gemini-x": 1}), "usd_per_million_tokens.gemini-x: "),
        (changed(currency="EUR"), "currency: Extra inputs are not permitted"),
        (priced(input=-1), "usd_per_million_tokens.gemini-x.0.input: "),
        (priced(output=None), "usd_per_million_tokens.gemini-x.0.output: "),
        (priced(cached="much"), "usd_per_million_tokens.gemini-x.0.cached: "),
        (priced(per_image=1), "usd_per_million_tokens.gemini-x.0.per_image: "),
        (priced(input=1).replace('"input": 1', '"input": NaN'), "input: "),
        (None, "can't be read: No such file or directory"),
        (b"\xff\xfe", "is not text in UTF-8"),
    ],
)
def test_file_that_cannot_be_used_is_explained(tmp_path: Path, content: str | bytes | None, sentence: str) -> None:
    file = tmp_path / "prices.json"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError) as caught:
        read_prices(file)
    assert "GEMINI_PRICE_FILE" in str(caught.value)
    assert sentence in str(caught.value)


def test_service_does_not_start_with_a_price_file_that_is_none(tmp_path: Path) -> None:
    """By its own command and by another ASGI server: exit 2 before anything is claimed."""
    file = tmp_path / "prices.json"
    file.write_text("no prices")
    env = REQUIRED | {"GEMINI_PRICE_FILE": str(file)}
    with pytest.raises(SettingsError):
        create_app(load_settings(env))
    python = [sys.executable, "-c", "import sys; sys.path[:0] = sys.argv[1:]; import leadhook.app; leadhook.app.app"]
    ended = subprocess.run([*python, *sys.path], env=env, capture_output=True, text=True, check=False)
    assert (ended.returncode, "is no price file" in ended.stderr) == (2, True), ended.stderr


def test_no_template_is_longer_than_budgets_reckon_with() -> None:
    """The reservation would be too small."""
    folder = Path(limits.__file__).parent
    templates = list(folder.rglob("*.txt"))
    assert templates
    assert max(len(file.read_text()) for file in templates) <= limits.TEMPLATE_CHARACTERS
    assert Prompts().model_dump_json(exclude_none=True) == "{}"


def test_commands_read_the_model_and_the_price_file_as_the_service_does(tmp_path: Path) -> None:
    """Quotes that an env file keeps are no part of the name."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(GOOD))
    found = price_here({"GEMINI_MODEL": '"gemini-x"', "GEMINI_PRICE_FILE": f"'{file}'"})
    assert found.name == "gemini-x"
    assert found.price == Price(input=1, cached=0.1, output=2)
