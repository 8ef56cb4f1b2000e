"""Bar charts as inline SVG, drawn on the server, with title and description; the page adds a table behind each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from leadhook.domain.console import Period, ScoreCount
from leadhook.domain.results import CONTACT_FROM

WIDTH: Final = 400
HEIGHT: Final = 170
LEFT: Final = 44
BOTTOM: Final = 22
TOP: Final = 8
_GAP: Final = 0.25
"""Of a bar's place."""
_LABELS: Final = 5

_BAR: Final = Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
_LABEL: Final = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
_PATH: Final = Markup('<polyline class="in" points="{}"/>')
_LINE: Final = Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>')
_PLOT: Final = Markup(
    '<svg class="plot" role="img" viewBox="0 0 {} {}" aria-labelledby="{}-title {}-desc">'
    '<title id="{}-title">{}</title><desc id="{}-desc">{}</desc>{}</svg>'
)


@dataclass(frozen=True)
class Bars:
    """What a bar chart shows: for each label, the heights of the layers from the bottom up, by their class."""

    name: str
    title: str
    description: str
    labels: Sequence[str]
    layers: Sequence[tuple[str, Sequence[int]]]
    line: Sequence[int] = ()
    """Heights of a line across the bars."""
    mark_before: int | None = None
    """A dashed line before this bar."""

    @property
    def most(self) -> int:
        bars = (sum(heights) for heights in zip(*(each for _, each in self.layers), strict=True))
        return max((*bars, *self.line), default=0) or 1

    def svg(self) -> Markup:
        parts = Markup().join([*self._axis(), *self._bars(), self._path(), *self._names()])
        name = self.name
        return _PLOT.format(WIDTH, HEIGHT, name, name, name, self.title, name, self.description, parts)

    @property
    def _step(self) -> float:
        return (WIDTH - LEFT) / max(len(self.labels), 1)

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / self.most

    def _axis(self) -> Iterable[Markup]:
        for value in (0, self.most):
            yield _LINE.format("axis", LEFT, self._y(value), WIDTH, self._y(value))
            yield _LABEL.format(LEFT - 6, self._y(value) + 4, "end", f"{value:,}")
        if self.mark_before is not None:
            x = LEFT + self._step * self.mark_before
            yield _LINE.format("mark", x, TOP, x, HEIGHT - BOTTOM)

    def _bars(self) -> Iterable[Markup]:
        for place in range(len(self.labels)):
            below = 0
            for style, heights in self.layers:
                height = heights[place]
                if height:
                    x, y = LEFT + self._step * (place + _GAP / 2), self._y(below + height)
                    yield _BAR.format(style, x, y, self._step * (1 - _GAP), self._y(below) - y)
                below += height

    def _path(self) -> Markup:
        points = (
            f"{LEFT + self._step * (place + 0.5):.1f},{self._y(value):.1f}" for place, value in enumerate(self.line)
        )
        return _PATH.format(" ".join(points)) if self.line else Markup()

    def _names(self) -> Iterable[Markup]:
        each = max(1, round(len(self.labels) / _LABELS))
        for place, label in enumerate(self.labels):
            if place % each == 0:
                yield _LABEL.format(LEFT + self._step * (place + 0.5), HEIGHT - 6, "middle", label)


def draw_periods(name: str, title: str, periods: Sequence[Period], form: str) -> Markup:
    """Draw scored leads, split at the line of contact, failed ones on top, and a line of the leads that came in."""
    came, scored, failed = (sum(getattr(one, name) for one in periods) for name in ("leads_in", "scored", "failed"))
    bars = Bars(
        name,
        title,
        f"{came:,} leads in, {scored:,} scored and {failed:,} failed in all. The table below has the figures.",
        [f"{one.at:{form}}" for one in periods],
        [
            ("a", [one.contact for one in periods]),
            ("c", [one.scored - one.contact for one in periods]),
            ("b", [one.failed for one in periods]),
        ],
        line=[one.leads_in for one in periods],
    )
    return bars.svg()


def draw_scores(scores: Sequence[ScoreCount]) -> Markup:
    """Draw the histogram, with the line from which leads are contacted."""
    leads = [one.leads for one in scores]
    above = sum(one.leads for one in scores if one.score >= CONTACT_FROM)
    bars = Bars(
        "scores",
        "Scores of the last 30 days",
        f"{above:,} of {sum(leads):,} leads scored {CONTACT_FROM} or more, right of the dashed line.",
        [f"{one.score}" for one in scores],
        [
            ("a", [one.leads * (one.score >= CONTACT_FROM) for one in scores]),
            ("c", [one.leads * (one.score < CONTACT_FROM) for one in scores]),
        ],
        mark_before=sum(one.score < CONTACT_FROM for one in scores),
    )
    return bars.svg()
