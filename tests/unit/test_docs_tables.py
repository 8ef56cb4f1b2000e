"""docs/tables.md names the columns that the installer checks, and the statements that it prints."""

from pathlib import Path

import pytest

from leadhook.install.tables import COLUMNS, add_column

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


@pytest.mark.parametrize("table", COLUMNS)
def test_the_page_has_the_statement_that_adds_each_column(table: str) -> None:
    """As the installer prints it."""
    documented = [line for line in PAGE.splitlines() if line.startswith(f"alter table public.{table} ")]
    assert documented == [add_column(table, column) for column in COLUMNS[table]]
