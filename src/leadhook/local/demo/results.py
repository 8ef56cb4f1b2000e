"""Where each sample lead stands, as the database tells it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg.rows import class_row

from leadhook.local.sample import Sample

_QUERY: Final = Path(__file__).with_name("results.sql").read_bytes()


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One lead. Times are in ms; `saved_ms` and `commit_to_call_ms` count from the commit that made it eligible."""

    lead_id: str
    name: str | None
    bio: str | None
    score: int | None
    contact: bool | None
    subject: str | None
    message: str | None
    response: str | None
    """The reason for the score."""
    flags: list[str]
    """Codes of what in its text looks like an attempt to steer the model."""
    state: str | None
    reason: str | None
    source: str | None
    commit_to_call_ms: float | None
    key_wait_ms: int | None
    """Of that, spent waiting for another lead's call to prove a key."""
    saved_ms: float | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None

    @property
    def answered(self) -> bool:
        """Whether its answer is in llm_response and its attempt closed."""
        return self.score is not None and self.saved_ms is not None

    @property
    def label(self) -> str:
        """What to call it."""
        return self.name or self.lead_id


class DemoResults:
    """Reads the sample's rows again and again."""

    def __init__(self, connection: psycopg.Connection, sample: Sample) -> None:
        self._connection = connection
        self._arguments = {"lead_ids": list(sample.lead_ids), "committed_at": sample.committed_at}

    def read(self) -> list[DemoRow]:
        """All rows, the best score first, the unanswered last."""
        with self._connection.cursor(row_factory=class_row(DemoRow)) as cursor:
            return cursor.execute(_QUERY, self._arguments).fetchall()
