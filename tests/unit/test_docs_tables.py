"""docs/tables.md names the columns that the installer checks."""

from pathlib import Path

import pytest

from leadhook.install.tables import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs/tables.md").read_text()


@pytest.mark.parametrize("table", COLUMNS)
def test_the_page_has_each_column_that_the_installer_checks(table: str) -> None:
    """Name, type and use, in the section of its table, and no other column."""
    section = PAGE.partition(f"## `{table}`\n")[2].partition("\n## ")[0]
    documented = [line for line in section.splitlines() if line.startswith("| `")]
    assert documented == [
        f"| `{column.name}` | `{column.type}`{', no other' if column.is_fixed else ''} | {column.use} |"
        for column in COLUMNS[table]
    ]
