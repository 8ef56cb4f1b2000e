"""`leadhook replay` at the terminal: what it shows, what it asks, and its exit codes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from tests.commands import Run, runner, use_store

from leadhook.domain.forecast import Spending
from leadhook.domain.job import ReplaySlice
from leadhook.domain.replays import (
    ReplayCount,
    ReplayedLead,
    ReplayProgress,
    ReplayReply,
    Replays,
    ReplayStatus,
    ReplaySummary,
)
from leadhook.domain.status import Status
from leadhook.store import StoreError

USAGE = Spending(calls=2, input_tokens=1000, output_tokens=50, cost_usd=0.00108)
ONE_LEAD = ReplayCount(counts={"queued": 1}, sample=("a",), usage=USAGE.model_copy(update={"known": 1}))
FINISHED = ReplayStatus(found=True, replay_id=7, phase="queued", progress=ReplayProgress(done=1), usage=USAGE)


@dataclass
class _FakeStore:
    leads: tuple[ReplayedLead, ...] = (ReplayedLead(lead_id="a", outcome="queued"),)
    statuses: list[ReplayStatus] = field(default_factory=lambda: [FINISHED])
    """The last one is given again and again."""
    count: ReplayCount = ONE_LEAD
    refusal: StoreError | None = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None) -> ReplayReply:
        self.asked.append(("replay", list(lead_ids), actor, reason))
        return self._reply()

    async def replay_filtered(
        self, fields: Mapping[str, Any], limit: int | None, actor: str, reason: str | None, _request_id: UUID | None
    ) -> ReplayReply:
        self.asked.append(("filtered", dict(fields), limit, actor, reason))
        return self._reply()

    def _reply(self) -> ReplayReply:
        counts: dict[str, int] = {}
        for lead in self.leads:
            counts[lead.outcome] = counts.get(lead.outcome, 0) + 1
        return ReplayReply(replay_id=7, counts=counts, leads=self.leads)

    async def dry_run(self, *_: object) -> ReplayCount:
        self.asked.append(("dry_run",))
        return self.count

    async def replay_status(self, replay_id: int, **_: object) -> ReplayStatus:
        self.asked.append(("status", replay_id))
        if self.refusal:
            raise self.refusal
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    async def stop_replay(self, replay_id: int, actor: str, reason: str | None) -> ReplayStatus:
        self.asked.append(("stop", replay_id, actor, reason))
        return self.statuses[0]

    async def replay_slice(self) -> ReplaySlice:
        self.asked.append(("slice",))
        return ReplaySlice()

    async def replays(self, limit: int) -> Replays:
        self.asked.append(("list", limit))
        begun = {"replay_id": 7, "phase": "queued", "actor": "cli:ada", "created_at": "2026-11-01T10:00:00Z"}
        return Replays(replays=(ReplaySummary.model_validate(begun | {"counts": {"queued": 3}}),))

    async def status(self) -> Status:
        self.asked.append(("database",))
        return Status()

    def begun(self) -> bool:
        return any(call[0] in ("replay", "filtered") for call in self.asked)


@pytest.fixture
def leadhook(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    monkeypatch.setattr("leadhook.cli.replay.LOOK_EACH_S", 0)
    monkeypatch.setattr("leadhook.cli.replay.SLICE_EACH_S", 0)
    return runner(monkeypatch, capsys)


@pytest.fixture
def store(leadhook: Run, monkeypatch: pytest.MonkeyPatch) -> _FakeStore:
    del leadhook
    store = _FakeStore()
    use_store(monkeypatch, store)
    return store


@pytest.mark.parametrize("selection", [("--all",), ("--tag", "a")])
@pytest.mark.parametrize(
    ("typed", "arguments", "code", "begins"),
    [
        ("y\n", (), 0, True),
        ("n\n", (), 1, False),
        (None, (), 2, False),
        (None, ("--yes",), 0, True),
        (None, ("--dry-run",), 0, False),
    ],
)
def test_a_replay_by_filter_shows_its_cost_and_asks(
    leadhook: Run,
    store: _FakeStore,
    selection: tuple[str, ...],
    typed: str | None,
    arguments: tuple[str, ...],
    code: int,
    *,
    begins: bool,
) -> None:
    left, out, err = leadhook("replay", *selection, *arguments, typed=typed)
    assert (left, store.begun()) == (code, begins)
    if arguments != ("--yes",):
        assert "forecast: 2 calls, 1,000 tokens in, 50 out, $0.0011" in out
    if code:
        assert "nothing was changed" in err


def test_named_leads_are_not_asked_about(leadhook: Run, store: _FakeStore) -> None:
    code, out, _ = leadhook("replay", "--lead-id", "a", "--reason", "why")
    assert (code, store.asked) == (0, [("replay", ["a"], "cli:ada", "why"), ("status", 7)])
    assert "replay 7 finished: 1 lead (1 done), 2 calls, 1,000 tokens in, 50 out, $0.0011" in out


def test_a_filter_is_handed_on_as_the_api_has_it(leadhook: Run, store: _FakeStore) -> None:
    """A time without a zone is UTC."""
    arguments = ("--tag", "x", "--score-max", "49", "--since", "2026-11-01", "--limit", "5", "--yes")
    assert leadhook("replay", *arguments)[0] == 0
    fields = {"tag": "x", "score_max": 49, "since": "2026-11-01T00:00:00+00:00"}
    assert store.asked[0] == ("filtered", fields, 5, "cli:ada", None)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--lead-id", "a", "--tag", "b"),
        ("--all", "--tag", "b"),
        ("--lead-id", "a", "--limit", "1"),
        ("--tag", "a", "--state", "nope"),
        ("--tag", "a", "--score-min", "101"),
    ],
)
def test_a_selection_that_makes_no_sense_is_misuse(
    leadhook: Run, store: _FakeStore, arguments: tuple[str, ...]
) -> None:
    assert leadhook("replay", *arguments, "--yes")[0] == 2
    assert store.asked == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("replay", "--lead-id", "a", "--tag", "b"), "--lead-id can't be combined with a filter"),
        (("replay", "--lead-id", ""), "--lead-id is empty"),
        (("explain", ""), "LEAD_ID is empty"),
    ],
)
def test_misuse_is_named(leadhook: Run, store: _FakeStore, arguments: tuple[str, ...], words: str) -> None:
    code, _, err = leadhook(*arguments)
    assert (code, words in err, store.asked) == (2, True, []), err


def test_a_filter_that_matches_no_lead_is_not_asked_about(leadhook: Run, store: _FakeStore) -> None:
    store.count = ReplayCount()
    code, out, err = leadhook("replay", "--tag", "a")
    assert (code, err, store.begun()) == (0, "", False)
    assert "would score 0 leads" in out


def test_a_lead_that_does_not_exist_is_a_failure(leadhook: Run, store: _FakeStore) -> None:
    store.leads = (ReplayedLead(lead_id="nope", outcome="unknown"),)
    store.statuses = [FINISHED.model_copy(update={"progress": ReplayProgress()})]
    code, out, _ = leadhook("replay", "--lead-id", "nope")
    assert (code, "nope: unknown" in out) == (1, True)
    found = json.loads(leadhook("replay", "--lead-id", "nope", "--json")[1])
    assert found["refused"] == [{"lead_id": "nope", "outcome": "unknown"}]


def test_a_lead_that_failed_is_a_failure(leadhook: Run, store: _FakeStore) -> None:
    store.statuses = [FINISHED.model_copy(update={"progress": ReplayProgress(failed=1)})]
    assert leadhook("replay", "follow", "7")[0] == 1


def test_what_is_still_to_be_queued_is_queued_without_a_service(leadhook: Run, store: _FakeStore) -> None:
    progress = {"progress": ReplayProgress(waiting=2)}
    store.statuses = [FINISHED.model_copy(update=progress | {"phase": phase}) for phase in ("queueing", "queued")]
    code, out, _ = leadhook("replay", "--tag", "a", "--yes", "--no-follow")
    assert (code, store.asked.count(("slice",))) == (0, 1)
    assert "replay 7 running: 2 leads (2 waiting)" in out


def test_what_keeps_leads_back_is_said_while_a_replay_is_followed(leadhook: Run, store: _FakeStore) -> None:
    store.statuses = [FINISHED.model_copy(update={"progress": ReplayProgress(waiting=1)}), FINISHED]
    code, out, _ = leadhook("replay", "follow", "7")
    assert (code, ("database",) in store.asked) == (0, True)
    assert "`leadhook serve`" in out


def test_stop_of_a_finished_replay_says_that_nothing_was_changed(leadhook: Run, store: _FakeStore) -> None:
    code, out, _ = leadhook("replay", "stop", "7", "--reason", "why")
    assert (code, store.asked) == (0, [("stop", 7, "cli:ada", "why")])
    assert "has already finished" in out
    assert "nothing was changed" in out


def test_the_list_names_who_asked(leadhook: Run, store: _FakeStore) -> None:
    code, out, _ = leadhook("replay", "list", "--limit", "5")
    assert (code, store.asked) == (0, [("list", 5)])
    assert "cli:ada" in out
    assert [word in out for word in ("queueing", "complete", "state")] == [True, True, False], out
    assert json.loads(leadhook("replay", "list", "--json")[1])["replays"][0]["actor"] == "cli:ada"


@pytest.mark.parametrize(
    ("kind", "error_code", "code"),
    [
        ("misconfigured", "key_refused", 2),
        ("caller_bug", "PT400", 2),
        ("misconfigured", "PGRST202", 1),
        ("unavailable", "unreachable", 1),
    ],
)
def test_what_the_database_refuses_has_its_exit_code(
    leadhook: Run, store: _FakeStore, kind: Any, error_code: str, code: int
) -> None:
    """2: the key or the arguments are wrong; 1: the rest."""
    store.refusal = StoreError(kind, error_code, "words")
    left, _, err = leadhook("replay", "follow", "7")
    assert (left, err) == (code, "leadhook: words\n")


def test_a_replay_that_does_not_exist_is_a_failure(leadhook: Run, store: _FakeStore) -> None:
    store.statuses = [ReplayStatus(found=False)]
    for command in ("follow", "status", "stop"):
        code, _, err = leadhook("replay", command, "7")
        assert (code, "there is no replay 7; `leadhook replay list`" in err) == (1, True)
