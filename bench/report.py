"""What is shown of a measurement in the end, and what is kept."""

import json
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import Machine, commit
from bench.measurement import Figure, Measurement
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

RESULTS = Path(__file__).parent / "results"
NARROWEST = 120


def show(measurement: Measurement, machine: Machine) -> None:
    """The table."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=max(console.width, NARROWEST))
    title = Text(measurement.title, style="bold")
    caption = Text(machine.words(), style="" if machine.quiet else "yellow")
    table = Table(
        title=title, caption=caption, box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left", pad_edge=False
    )
    for heading, justify in (("figure", "left"), ("leadhook", "right"), ("least - most", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]  # rich takes these words
    table.add_column("beside it")
    table.add_column("target")
    table.add_column("met")
    for figure in measurement.figures.values():
        table.add_row(*_row(figure))
    console.print(table)
    console.print()


def keep(name: str, measurement: Measurement, machine: Machine, *, short: bool, seconds: float) -> Path:
    """The same and more as JSON; returns the file."""
    RESULTS.mkdir(exist_ok=True)
    result = {
        "name": name,
        "title": measurement.title,
        "met": measurement.met,
        "short": short,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds),
        "commit": commit(),
        "machine": machine.as_json(),
        "figures": {key: figure.as_json() for key, figure in measurement.figures.items()},
        "charts": {key: chart.as_json() for key, chart in measurement.charts.items()},
        "details": measurement.details,
    }
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    return file


def _row(figure: Figure) -> tuple[Text, ...]:
    beside = "\n".join(
        f"{name} {number(other, figure.unit)}" + ("" if ratio is None else f" ({ratio:.2g} times)")
        for (name, other), ratio in zip(figure.beside.items(), figure.ratios().values(), strict=True)
    )
    spread = "" if figure.spread is None else f"{number(figure.spread[0])} - {number(figure.spread[1])}"
    met = {None: Text(""), True: Text("yes", style="green"), False: Text("MISSED", style="bold red")}[figure.met]
    value = Text(number(figure.value, figure.unit))
    return Text(figure.words), value, Text(spread), Text(beside), Text(figure.target), met


def number(value: float, unit: str = "") -> str:
    """For a person."""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".rstrip()
