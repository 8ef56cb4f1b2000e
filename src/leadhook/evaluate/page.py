"""Renders the report as one self-contained HTML file without scripts or requests; leads' texts are escaped."""

import sys
from collections import Counter
from collections.abc import Iterable
from html import escape
from typing import Any, Final
from xml.etree import ElementTree as ET

import pygal
from pygal.style import CleanStyle

from leadhook.domain.results import CONTACT_FROM
from leadhook.domain.spend import dollars
from leadhook.evaluate.figures import Compared, Report

# pygal adds a finder for plugins in the style of Python 2. It is not needed, and every later import would warn of it.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

BIN: Final = 10
"""Width of a bar of the histogram, in points of shift."""
MOST_ROWS: Final = 1000
"""Maximum rows of the table; the results file and --json have all."""

_CROSS: Final = [
    (0, CONTACT_FROM),
    (100, CONTACT_FROM),
    (CONTACT_FROM, CONTACT_FROM),
    (CONTACT_FROM, 0),
    (CONTACT_FROM, 100),
]
"""A line at 50 in both directions."""
_STYLE: Final = CleanStyle(colors=("#c0392b", "#2e8b57", "#8899aa", "#555555"), font_family="sans-serif")
_SVG: Final = "{http://www.w3.org/2000/svg}"
_CSS: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { text-align: left; padding: .2rem .8rem; vertical-align: top }
tr { border-bottom: 1px solid #ddd } td.n { text-align: right } .up { color: #2e8b57 } .down { color: #c0392b }
.charts { display: flex; flex-wrap: wrap } .charts svg { width: 34rem; max-width: 100%; height: auto }
"""


def render(report: Report) -> str:
    title = f"Evaluation of {report.candidate.model}"
    rows: list[tuple[str, ...]] = [("lead", "old", "new", "shift", "crosses 50", "old subject", "new subject")]
    rows += [_row(one) for one in report.results[:MOST_ROWS]]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{escape(title)}</title><style>{_CSS}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        _table(summary(report)),
        f'<div class="charts">{_scatter(report)}{_histogram(report)}</div>' if report.results else "",
        "<h2>Leads</h2>",
        _table(rows, head=True),
        f"<p>The first {MOST_ROWS:,} of {report.compared:,}.</p>" if report.compared > MOST_ROWS else "",
        "<h2>Failures</h2>" if report.failures else "",
        _table([(one.lead_id, one.error_code, one.reason or "") for one in report.failures[:MOST_ROWS]]),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def summary(report: Report) -> list[tuple[str, str]]:
    spent, noise = report.spent, report.noise
    rows = [
        ("leads", f"{report.compared:,} compared of {report.leads:,}"),
        ("cross 50 upwards", f"{report.up:,}"),
        ("cross 50 downwards", f"{report.down:,}"),
        ("same side of 50", _or_unknown(report.agreement, "{:.1%}")),
        ("mean score", f"{_or_unknown(report.old_mean)} before, {_or_unknown(report.new_mean)} now"),
        (
            "shift",
            (
                f"mean {_or_unknown(report.mean_shift, '{:+g}')}, median {_or_unknown(report.median_shift, '{:+g}')}, "
                f"mean size {_or_unknown(report.mean_absolute_shift)}"
            ),
        ),
        *([("noise", _noise(report))] if noise.leads else []),
        ("cost of a lead", f"{_usd(spent.old_usd_per_lead)} before, {_usd(spent.new_usd_per_lead)} now"),
        (
            "model time of a lead",
            (
                f"median {_or_unknown(spent.old_median_ms, '{:,.0f} ms')} before, "
                f"{_or_unknown(spent.new_median_ms, '{:,.0f} ms')} now; "
                f"95% took at most {_or_unknown(spent.new_p95_ms, '{:,.0f} ms')}"
            ),
        ),
        ("spent in total", _usd(spent.total_usd)),
    ]
    if report.failures:
        rows.append(("failed", f"{len(report.failures):,}"))
    return rows


def _noise(report: Report) -> str:
    noise = report.noise
    return (
        f"{noise.leads:,} leads scored twice: mean size {_or_unknown(noise.mean_absolute_shift)}, "
        f"largest {noise.largest_shift}, {noise.crosses:,} cross 50"
    )


def _or_unknown(value: float | None, form: str = "{:g}") -> str:
    return "unknown" if value is None else form.format(value)


def _usd(value: float | None) -> str:
    return "unknown" if value is None else dollars(value)


def _row(one: Compared) -> tuple[str, ...]:
    return (
        one.lead_id,
        str(one.old_score),
        str(one.new_score),
        f"{one.shift:+}",
        one.crosses or "",
        one.old_subject or "",
        one.new_subject if one.new_subject is not None else "(the message failed)",
    )


def _table(rows: Iterable[tuple[str, ...]], *, head: bool = False) -> str:
    lines = []
    for number, row in enumerate(rows):
        tag = "th" if head and number == 0 else "td"
        # Isolated, so that a subject can change the reading direction only in its own cell.
        lines.append("<tr>" + "".join(f"<{tag}><bdi>{escape(cell)}</bdi></{tag}>" for cell in row) + "</tr>")
    return f"<table>{''.join(lines)}</table>" if lines else ""


def _scatter(report: Report) -> str:
    chart = pygal.XY(
        title="Score before (across) and now (up)",
        xrange=(0, 100),
        range=(0, 100),
        x_labels=range(0, 101, BIN),
        y_labels=range(0, 101, BIN),
        stroke=False,
        **chart_options(),
    )
    for crosses, name in (("down", "cross 50 downwards"), ("up", "cross 50 upwards"), (None, "same side of 50")):
        points = [
            {"value": (one.old_score, one.new_score), "label": one.lead_id}
            for one in report.results
            if one.crosses == crosses
        ]
        chart.add(name, points)
    chart.add(str(CONTACT_FROM), _CROSS, stroke=True, show_dots=False)
    return svg(chart)


def _histogram(report: Report) -> str:
    shifts = [one.shift for one in report.results]
    first, last = _bin(min([*shifts, *report.noise.shifts])), _bin(max([*shifts, *report.noise.shifts]))
    bins = range(first, last + 1)
    chart = pygal.Bar(
        title="Shift of the score: leads by points",
        x_labels=[f"{place * BIN - BIN // 2:+} to {place * BIN + BIN // 2 - 1:+}" for place in bins],
        x_label_rotation=40,
        **chart_options(),
    )
    for name, found in (("old to new", shifts), ("noise", report.noise.shifts)):
        counts = Counter(map(_bin, found))
        if counts:
            chart.add(name, [counts[place] for place in bins])
    return svg(chart)


def _bin(shift: int) -> int:
    """Return the bar of a shift; the middle one is around 0."""
    return (shift + BIN // 2) // BIN


def chart_options() -> dict[str, Any]:
    return {"style": _STYLE, "js": [], "legend_at_bottom": True, "width": 640, "height": 520, "dots_size": 3}


def svg(chart: pygal.graph.graph.Graph) -> str:
    """Return the chart without pygal's script; a dot's tooltip becomes its title."""
    tree = chart.render_tree()
    for parent in list(tree.iter()):
        for child in list(parent):
            if child.tag in ("script", f"{_SVG}script") or not isinstance(child.tag, str):
                parent.remove(child)
            elif child.tag in ("desc", f"{_SVG}desc") and child.get("class") in ("label", "value"):
                child.tag = "title"
    return ET.tostring(tree, encoding="unicode")
