"""The generated parts of docs/performance.md and of the README, from docs/performance.json: `python -m bench.page`.

What is generated lies between `<!-- begin NAME -->` and `<!-- end NAME -->`; all else is written by hand and stays.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

import pygal
from bench.report import number

from leadhook.evaluate.page import chart_options, svg

ROOT: Final = Path(__file__).parent.parent
PAGE, README = ROOT / "docs" / "performance.md", ROOT / "README.md"
DATA, CHARTS = ROOT / "docs" / "performance.json", ROOT / "docs" / "performance"
Parts = dict[str, Any]
"""What each measurement came to, by its name, as in `bench/results`."""
OTHERS: Final = ("poller", "procrastinate", "pgqueuer")
README_ROWS: Final = {
    "from a lead's commit to its first model call, median": (("latency", "apart_p50"), ("queues", "latency_p50")),
    "leads a second, two model calls of a second each, 64 at a time (poller: its 6 threads)": (
        ("throughput", "rate"),
        ("queues", "rate_64"),
    ),
    "CPU of the process, a lead": (("throughput", "cpu_ms_a_lead"), ("queues", "cpu_ms_64")),
    "REST requests, a lead": (("throughput", "requests_a_lead"),),
}
"""What the README's table shows: a row for each run, so that every row compares what was measured by turns."""
MET: Final = {None: "", True: "yes", False: "**no**"}


def renew(measured: Parts) -> None:
    """Replace what was measured, and write everything."""
    kept = json.loads(DATA.read_text()) if DATA.exists() else {}
    parts = kept | {name: {key: part[key] for key in part if key != "details"} for name, part in measured.items()}
    DATA.write_text(json.dumps(parts, indent=1, ensure_ascii=False) + "\n")
    for file, text in generated(parts).items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


def generated(parts: Parts) -> dict[Path, str]:
    """Every file that has something of these parts, and its whole text."""
    page = PAGE.read_text()
    for name, part in parts.items():
        page = _replaced(page, name, section(name, part))
    readme = _replaced(README.read_text(), "performance", readme_table(parts))
    charts = {name: chart for part in parts.values() for name, chart in part["charts"].items()}
    drawn = {CHARTS / f"{name}.svg": _draw(name, chart) for name, chart in charts.items()}
    return {PAGE: page, README: readme} | drawn


def section(name: str, part: dict[str, Any]) -> str:
    """When and how it was measured, the table, and the charts."""
    lines = [
        _measured(name, part),
        "",
        "| figure | leadhook | least - most | compared with | target | met |",
        "|---|---|---|---|---|---|",
        *(_row(figure) for figure in part["figures"].values()),
    ]
    for file, chart in part["charts"].items():
        lines += ["", f"![{chart['title']}](performance/{file}.svg)"]
    return "\n".join(lines)


def readme_table(parts: Parts) -> str:
    """Leadhook beside the poller and the two libraries."""
    lines = [f"| | leadhook | {' | '.join(OTHERS)} | measured by |", f"|---|{'---|' * len(OTHERS)}---|---|"]
    for words, places in README_ROWS.items():
        for name, key in places:
            if name in parts and (figure := parts[name]["figures"].get(key)):
                values = {"leadhook": figure["value"]} | figure["beside"]
                cells = (number(values[one], figure["unit"]) if one in values else "" for one in ("leadhook", *OTHERS))
                lines.append(f"| {words} | {' | '.join(cells)} | {_command(name)}{_caveat(parts[name])} |")
    return "\n".join(lines)


def _measured(name: str, part: dict[str, Any]) -> str:
    machine = part["machine"]
    load = "otherwise idle" if machine["quiet"] else "**used by other programs too: compare the ratios only**"
    short = " **A short run: it shows that the measurement works, and its figures mean nothing.**" * part["short"]
    return (
        f"{_command(name)} on {part['ended_at'][:10]} at commit `{part['commit']}`, on {machine['cpus']} CPUs,"
        f" {load}.{short}"
    )


def _caveat(part: dict[str, Any]) -> str:
    if part["short"]:
        return ", a short run: no figure"
    return "" if part["machine"]["quiet"] else ", on a busy machine: compare within the row"


def _command(name: str) -> str:
    return f"`.venv/bin/python -m bench {name}`"


def _row(figure: dict[str, Any]) -> str:
    unit, spread = figure["unit"], figure["spread"]
    beside = (
        f"{name} {number(other, unit)}" + ("" if ratio is None else f" ({number(ratio)} times)")
        for (name, other), ratio in zip(figure["beside"].items(), figure["ratio"].values(), strict=True)
    )
    ends = "" if spread is None else " - ".join(number(end) for end in spread)
    value, met = number(figure["value"], unit), MET[figure["met"]]
    return f"| {' | '.join((figure['words'], value, ends, '; '.join(beside), figure['target'], met))} |"


def _replaced(text: str, name: str, generated: str) -> str:
    """The text with what is generated between the two marks of this name.

    Raises:
        ValueError: it does not have both marks once.
    """
    marks = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
    replaced, count = marks.subn(lambda found: f"{found[1]}{generated}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"{count} places for {name}, not one")
    return replaced


def _draw(name: str, chart: dict[str, Any]) -> str:
    places = [x for x, _ in next(iter(chart["series"].values()))]
    kind = {"lines": pygal.Line, "bars": pygal.Bar}[chart["kind"]]
    drawn = kind(
        title=chart["title"],
        x_labels=[f"{x:,.0f}" for x in places],
        x_label_rotation=40,
        include_x_axis=True,
        **chart_options(),
    )
    drawn.uuid = name
    for series, points in chart["series"].items():
        drawn.add(series, [y for _, y in points])
    return svg(drawn) + "\n"


if __name__ == "__main__":
    renew({})
