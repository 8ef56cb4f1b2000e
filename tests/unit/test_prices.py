"""The file of prices: ours is whole, and a wrong one is explained at the start."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leadhook.app import create_app
from leadhook.domain.lead import Prompts
from leadhook.domain.spend import Price
from leadhook.gemini import limits
from leadhook.prices import read_prices
from leadhook.settings import Settings, SettingsError, load_settings

GOOD: dict[str, Any] = {
    "read_on": "2026-11-22",
    "source": "a test",
    "usd_per_million_tokens": {"gemini-x": {"input": 1, "cached": 0.1, "output": 2}},
}
ENVIRONMENT = {"SUPABASE_URL": "http://127.0.0.1:54321", "SUPABASE_SECRET_KEY": "fake-key"}


def test_our_file_knows_the_default_model() -> None:
    """And says when and where its prices were read."""
    prices = read_prices(None)
    default = Settings.model_fields["gemini_model"].default
    assert prices.price_of(default) == prices.price_of(f"models/{default}") == Price(input=0.3, cached=0.03, output=2.5)
    assert prices.price_of("gemini-unheard-of") is None
    assert "ai.google.dev" in prices.source
    assert all(price.cached <= price.input <= price.output for price in prices.usd_per_million_tokens.values())


def test_file_of_the_settings_takes_the_place_of_ours(tmp_path: Path) -> None:
    """Models that it does not name have no price."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(GOOD))
    prices = read_prices(file)
    assert prices.price_of("gemini-x") == Price(input=1, cached=0.1, output=2)
    assert prices.price_of("gemini-3.5-flash-lite") is None


def changed(**changes: Any) -> str:
    """The good file with something else in it."""
    return json.dumps(GOOD | changes)


def priced(**price: Any) -> str:
    """The good file with another price."""
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
        (priced(input=-1), "usd_per_million_tokens.gemini-x.input: "),
        (priced(output=None), "usd_per_million_tokens.gemini-x.output: "),
        (priced(cached="much"), "usd_per_million_tokens.gemini-x.cached: "),
        (priced(per_image=1), "usd_per_million_tokens.gemini-x.per_image: "),
        (priced(input=1).replace('"input": 1', '"input": NaN'), "input: "),
        (None, "can't be read: No such file or directory"),
        (b"\xff\xfe", "is not text in UTF-8"),
    ],
)
def test_file_that_can_not_be_used_is_explained(tmp_path: Path, content: str | bytes | None, sentence: str) -> None:
    """Its name, the place in it and what is wrong there."""
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
    env = ENVIRONMENT | {"GEMINI_PRICE_FILE": str(file)}
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
