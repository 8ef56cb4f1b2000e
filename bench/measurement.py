"""What a measurement hands back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Figure:
    """One measured number, and what it has to be seen beside.

    Attributes:
        words: what it is.
        value: the number.
        unit: of the number and of what it is compared with.
        spread: the least and the greatest of the samples or rounds that `value` stands for.
        beside: the same quantity of something else in the same run, by its name: a floor, a ceiling, a baseline.
        target: what it should be, in words.
        met: whether it is; None where there is no target.
    """

    words: str
    value: float
    unit: str = ""
    spread: tuple[float, float] | None = None
    beside: dict[str, float] = field(default_factory=dict)
    target: str = ""
    met: bool | None = None

    def ratios(self) -> dict[str, float | None]:
        """The value as a multiple of each number that it is seen beside."""
        return {name: self.value / other if other else None for name, other in self.beside.items()}

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        ratios = {name: None if ratio is None else rounded(ratio) for name, ratio in self.ratios().items()}
        return {
            "words": self.words,
            "value": rounded(self.value),
            "unit": self.unit,
            "spread": None if self.spread is None else [rounded(end) for end in self.spread],
            "beside": {name: rounded(other) for name, other in self.beside.items()},
            "ratio": ratios,
            "target": self.target,
            "met": self.met,
        }


@dataclass(frozen=True)
class Chart:
    """Numbers that are easier to see than to read.

    Attributes:
        title: what is shown, with the units of both axes.
        series: points by the name of what they belong to, all over the same x.
        kind: lines through the points, or bars side by side.
    """

    title: str
    series: Mapping[str, Points]
    kind: Literal["lines", "bars"] = "lines"

    def as_json(self) -> dict[str, Any]:
        """For programs, and for the page."""
        series = {name: [[rounded(x), rounded(y)] for x, y in points] for name, points in self.series.items()}
        return {"title": self.title, "kind": self.kind, "series": series}


@dataclass(frozen=True)
class Measurement:
    """One benchmark's outcome.

    Attributes:
        title: what was measured.
        figures: by a name that stays the same from run to run.
        details: what else a program may want, such as samples.
        charts: by the name of their files.
    """

    title: str
    figures: dict[str, Figure]
    details: dict[str, Any] = field(default_factory=dict)
    charts: dict[str, Chart] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether no figure misses its target."""
        return all(figure.met is not False for figure in self.figures.values())


def rounded(number: float) -> float:
    """To four significant digits or whole numbers."""
    return float(f"{number:.4g}") if abs(number) < 1000 else float(round(number))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies, interpolated.

    Args:
        values: at least one.
        share: 0 to 1.
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
