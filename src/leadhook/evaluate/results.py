"""The results file of an evaluation: one JSON object per line. The first one describes what is evaluated.

A score is written before its cost is booked in the database, and another line records the booking. If a process ends
between the two, nothing is booked twice, and the next run books what is missing.
"""

import fcntl
import os
from collections.abc import Iterable
from io import BufferedRandom
from pathlib import Path
from typing import Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from leadhook.command_error import MisuseError
from leadhook.domain.evaluation import SavedAnswer
from leadhook.domain.facts import Facts
from leadhook.domain.lead import Prompts
from leadhook.domain.results import Usage

OWNER_ALONE: Final = 0o600
"""The file contains subjects and reasons, which name people."""

Purpose = Literal["score", "noise"]
"""`noise`: the same lead scored once more, to measure how much scores vary without any change."""


class Candidate(BaseModel):
    """What is evaluated: a model, and texts that replace those of the `prompts` rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    wildnet_data: str | None = None
    scoring_criteria_and_icp: str | None = None
    message_prompt: str | None = None

    def texts(self, row: Prompts) -> Prompts:
        return row.model_copy(update=self.model_dump(exclude={"model"}, exclude_none=True))


class Scored(Facts):
    no: int
    purpose: Purpose
    lead_id: str
    user_id: UUID | None = None
    tag: str | None = None
    saved: SavedAnswer
    saved_usd: float | None = None
    saved_ms: float | None = None
    score: int | None = None
    """None if it failed."""
    should_contact: bool | None = None
    reason: str | None = None
    """The model's reason for the score, or the reason of the failure."""
    subject: str | None = None
    prompt_version: str | None = None
    error_code: str | None = None
    is_final: bool = True
    """Whether a later run does not try again."""
    usage: Usage = Usage()
    usd: float | None = None
    model_ms: float = 0


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    evaluation: Candidate | None = None
    scored: Scored | None = None
    booked: int | None = None


class Results:
    def __init__(self, lines: Iterable[_Line] = ()) -> None:
        self.candidate: Candidate | None = None
        self.scored: Final[list[Scored]] = []
        self._booked: Final[set[int]] = set()
        for line in lines:
            self.add(line)

    def add(self, line: _Line) -> None:
        self.candidate = line.evaluation or self.candidate
        if line.scored:
            self.scored.append(line.scored)
        if line.booked is not None:
            self._booked.add(line.booked)

    def final(self, purpose: Purpose) -> dict[str, Scored]:
        return {one.lead_id: one for one in self.scored if one.purpose == purpose and one.is_final}

    def unbooked(self) -> list[Scored]:
        """Return the purchases whose cost may not be in the database yet."""
        return [one for one in self.scored if one.usd and one.no not in self._booked]

    def check(self, candidate: Candidate, path: Path) -> None:
        """Refuse a file that belongs to another evaluation.

        Raises:
            MisuseError: the model or the texts differ.
        """
        if self.candidate not in (None, candidate):
            raise MisuseError(
                f"{path} has the results of another model or other prompts: name another file with --results"
            )


def read_results(path: Path) -> Results:
    """Read a file without changing it; a missing file counts as empty.

    Raises:
        MisuseError: it is not a results file.
    """
    try:
        return _parse(path.read_bytes(), path)
    except FileNotFoundError:
        return Results()
    except OSError as error:
        raise MisuseError(f"{path} can't be read: {error.strerror}") from None


def _parse(content: bytes, path: Path) -> Results:
    whole = content[: content.rfind(b"\n") + 1]
    try:
        results = Results(_Line.model_validate_json(line) for line in whole.splitlines())
    except ValidationError:
        results = Results()
    if content and results.candidate is None:
        raise MisuseError(f"{path} is not a results file of `leadhook evaluate`: name another one with --results")
    return results


class ResultsFile:
    """A results file opened for appending, by only one process at a time."""

    def __init__(self, file: BufferedRandom, results: Results, candidate: Candidate) -> None:
        self._file = file
        self.results = results
        self.candidate = candidate

    @classmethod
    def open(cls, path: Path, candidate: Candidate) -> Self:
        """Open or create it.

        Raises:
            MisuseError: it can't be used, belongs to another evaluation, or another process uses it.
        """
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ALONE), "r+b")
        except OSError as error:
            raise MisuseError(f"{path} can't be written: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(file.fileno(), OWNER_ALONE)
            content = file.read()
            results = _parse(content, path)
            results.check(candidate, path)
            # Ignore a last line that a crash has cut off.
            file.truncate(content.rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
        except BlockingIOError:
            file.close()
            raise MisuseError(f"another `leadhook evaluate` uses {path}: wait for it, or name another file") from None
        except BaseException:
            file.close()
            raise
        opened = cls(file, results, candidate)
        if results.candidate is None:
            opened._append(_Line(evaluation=candidate))
        return opened

    def next_no(self) -> int:
        return len(self.results.scored) + 1

    def keep(self, scored: Scored) -> None:
        """Append a purchase, and flush it to disk."""
        self._append(_Line(scored=scored))

    def booked(self, scored: Scored) -> None:
        self._append(_Line(booked=scored.no))

    def close(self) -> None:
        self._file.close()

    def _append(self, line: _Line) -> None:
        self._file.write(line.model_dump_json(exclude_none=True).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.results.add(line)
