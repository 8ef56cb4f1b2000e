"""Runs every measurement of this folder, or those named: `python -m bench [name ...]`.

A measurement is a module with a function `measure() -> Measurement`. Each prints its sentences and one line of JSON,
which is kept in `bench/results/<name>.json` too.
"""

import json
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
HELPERS = {"__main__", "database", "measurement"}


def main(names: list[str]) -> None:
    """Measure one after the other; two at once would measure each other."""
    found = sorted(file.stem for file in HERE.glob("*.py") if file.stem not in HELPERS)
    if unknown := sorted(set(names) - set(found)):
        sys.exit(f"no measurement is called {', '.join(unknown)}; there are {', '.join(found)}")
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    for name in names or found:
        measurement = import_module(f"bench.{name}").measure()
        text = json.dumps(measurement.figures)
        (results / f"{name}.json").write_text(text + "\n")
        print(f"{name}:", *measurement.sentences, text, sep="\n  ")


main(sys.argv[1:])
