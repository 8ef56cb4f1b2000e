"""Reads the plans that auto_explain logs for the statements of a session."""

import json
from dataclasses import dataclass, field
from typing import Any

import psycopg
from tests.sql.conftest import Sql

FEW = {"controls", "figures", "gemini_api", "api_keys", "pauses", "budgets"}
"""Tables of a handful of rows, which are best read whole."""


@dataclass
class Plans:
    """The plans of every statement that ran, within functions too."""

    db: Sql
    scans: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin to listen. Only a superuser may load auto_explain."""
        self.db.run("load 'auto_explain'")
        self.db.connection.add_notice_handler(self.note)

    def note(self, notice: psycopg.errors.Diagnostic) -> None:
        """Return the scans in the logged plans."""
        _, brace, plan = (notice.message_primary or "").partition("{")
        if brace:
            self._collect(json.loads(brace + plan)["Plan"])

    def _collect(self, node: dict[str, Any]) -> None:
        if "Relation Name" in node and node["Node Type"] != "ModifyTable":
            self.scans.append(node)
        for child in node.get("Plans", ()):
            self._collect(child)

    def start(self) -> None:
        """Forget what was seen, and look from now on."""
        self.scans.clear()
        for name, value in {
            "log_min_duration": "0", "log_nested_statements": "on", "log_analyze": "on", "log_timing": "off",
            "log_format": "json", "log_level": "notice", "log_buffers": "on",
        }.items():  # fmt: skip
            self.db.run("select set_config('auto_explain.' || %(n)s, %(v)s, false)", n=name, v=value)
        self.db.run("set client_min_messages = notice")

    def sequential(self) -> set[str]:
        """Large tables that were read from end to end; a sequence is a relation of one row."""
        return {
            scan["Relation Name"]
            for scan in self.scans
            if scan["Node Type"] == "Seq Scan" and not scan["Relation Name"].endswith("_id_seq")
        } - {*FEW, "fences"}

    def rows(self, table: str) -> float:
        """How many rows of a table all scans together looked at."""
        looked_at: float = sum(
            scan["Actual Loops"] * (scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0))
            for scan in self.scans
            if scan["Relation Name"] == table
        )
        return looked_at

    def loops(self, table: str) -> float:
        """How often one scan of a table was repeated, at the most."""
        return max((scan["Actual Loops"] for scan in self.scans if scan["Relation Name"] == table), default=0)

    def blocks(self, table: str) -> int:
        """How many blocks of a table and of its indexes all scans together read."""
        read: int = sum(
            scan["Shared Hit Blocks"] + scan["Shared Read Blocks"]
            for scan in self.scans
            if scan["Relation Name"] == table
        )
        return read


def read_blocks(db: Sql, *tables: str) -> int:
    """How many blocks of the values that stand outside of their rows in these tables this transaction has read."""
    blocks: int = db.value(
        "select sum(pg_stat_get_xact_blocks_fetched(reltoastrelid)) from pg_class"
        " where relnamespace = 'public'::regnamespace and relname = any (%(tables)s)",
        tables=list(tables),
    )
    return blocks
