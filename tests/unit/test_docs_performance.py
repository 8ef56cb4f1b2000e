"""docs/performance.md and the README's table show what docs/performance.json has: bench/page.py generates both."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from bench.page import CHARTS, DATA, PAGE, README, generated, readme_table, section
from tests.docs_blocks import section as text_under

PARTS: Final[dict[str, Any]] = json.loads(DATA.read_text())
FILES: Final = generated(PARTS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_figure_is_the_one_in_the_data(file: Path) -> None:
    """`python -m bench.page` writes them again."""
    assert file.read_text() == FILES[file]


def test_every_chart_is_shown() -> None:
    """No file is left of a chart that is not drawn any more."""
    assert set(CHARTS.glob("*")) == FILES.keys() - {PAGE, README}


def test_a_figure_that_changes_changes_the_page_and_the_readme() -> None:
    """So the comparison above can fail."""
    part = PARTS["latency"]
    changed = part | {"figures": {"apart_p50": part["figures"]["apart_p50"] | {"value": 12.34}}}
    assert "| 12.3 ms |" in section("latency", changed)
    assert "| 12.3 ms |" in readme_table(PARTS | {"latency": changed})


def test_the_page_explains_every_missed_target() -> None:
    """By the words of its figure; a short run has no figures to explain."""
    explained = text_under("docs/performance.md", "Missed targets")
    missed = [
        figure["words"]
        for part in PARTS.values()
        for figure in part["figures"].values()
        if figure["met"] is False and not part["short"]
    ]
    assert [words for words in missed if words not in explained] == []
