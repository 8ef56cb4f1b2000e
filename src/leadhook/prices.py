"""Prices of models from a dated file: leadhook's own, or that of GEMINI_PRICE_FILE."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from leadhook.domain.forecast import PricedModel
from leadhook.domain.spend import Price, highest_price, price_on
from leadhook.settings import Settings, SettingsError, read_variable

_OneOrMore = BeforeValidator(lambda prices: [prices] if isinstance(prices, dict) else prices)


class PriceList(BaseModel):
    """The contents of a price file.

    Attributes:
        read_on: the date when the prices were looked up.
        usd_per_million_tokens: prices by model name, each with its days; none: the price of this model is unknown.
        retired_on: by model name, the day on which Google ends it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    read_on: date
    source: str
    usd_per_million_tokens: dict[str, Annotated[tuple[Price, ...], _OneOrMore]]
    retired_on: dict[str, date] = {}

    def knows_price(self, model: str) -> bool:
        return bool(self.usd_per_million_tokens.get(model.removeprefix("models/")))

    def prices_of(self, model: str) -> tuple[Price, ...]:
        """Return the prices of a model, with or without the prefix `models/`; none if it is not in the list.

        A model of the list whose price is unknown has the highest price of all, so that no budget is overspent.
        """
        prices = self.usd_per_million_tokens.get(model.removeprefix("models/"))
        every = [price for listed in self.usd_per_million_tokens.values() for price in listed]
        return prices or ((highest_price(every),) if prices is not None and every else ())

    def price_of(self, model: str, day: date | None = None) -> Price | None:
        prices = self.prices_of(model)
        return price_on(prices, day or datetime.now(UTC).date()) if prices else None


def price_here(env: Mapping[str, str]) -> PricedModel:
    """Return the model of this environment and its price, for commands that need no other setting.

    Raises:
        SettingsError: GEMINI_PRICE_FILE can't be used.
    """
    model = read_variable(env, "GEMINI_MODEL") or str(Settings.model_fields["gemini_model"].default)
    path = read_variable(env, "GEMINI_PRICE_FILE")
    return PricedModel(model, read_prices(Path(path) if path else None).price_of(model))


def read_prices(path: Path | None) -> PriceList:
    """Read this file, or leadhook's own.

    Raises:
        SettingsError: it can't be read, or is not a price file.
    """
    try:
        if path is None:
            text = resources.files("leadhook").joinpath("gemini", "prices.json").read_text(encoding="utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        return PriceList.model_validate_json(text)
    except OSError as error:
        raise SettingsError(f"GEMINI_PRICE_FILE: {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"GEMINI_PRICE_FILE: {path} is not text in UTF-8") from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg']}" for item in error.errors()]
        raise SettingsError("\n  ".join([f"GEMINI_PRICE_FILE: {path} is no price file:", *problems])) from None
