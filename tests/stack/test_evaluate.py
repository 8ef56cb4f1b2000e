"""`leadhook evaluate` as an operator runs it: the command, gateway, PostgREST, Postgres and Gemini's wire format."""

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest
from tests.conftest import Supabase
from tests.stack.google import SECRET, Google, standing_in
from tests.support import forked
from tests.support.application import Application

from leadhook.domain.job import ClaimRequest, Result, Timings
from leadhook.domain.results import Checkpoint, Message, Score, Usage
from leadhook.store import SupabaseStore, open_store

USER = UUID("00000000-0000-4000-8000-000000000001")
LEADS = 24
NEVER = 999


class Operator:
    """A terminal in its own directory."""

    def __init__(self, supabase: Supabase, application: Application, google: Google, directory: Path) -> None:
        self.supabase = supabase
        self.application = application
        self.google = google
        self.results = directory / "evaluation.jsonl"
        self._directory = directory

    async def evaluate(self, *arguments: str, interrupt_after: int = NEVER) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of `leadhook evaluate`; SIGINT once so many scores were bought."""
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "SUPABASE_URL": self.supabase.url,
            "SUPABASE_SECRET_KEY": self.supabase.secret_key,
            "GEMINI_BASE_URL": self.google.url,
        }
        files = [self._directory / name for name in ("out", "err")]
        for file in files:
            file.write_text("")
        process = forked.start(
            ["leadhook", "evaluate", *arguments], log=files[0], errors=files[1], env=env, cwd=self._directory
        )
        with anyio.fail_after(120):
            while process.exitcode is None:
                if interrupt_after != NEVER and len(self.bought()) >= interrupt_after:
                    os.kill(process.pid or 0, signal.SIGINT)
                    interrupt_after = NEVER
                await anyio.sleep(0.02)
        out, err = (file.read_text() for file in files)
        return process.exitcode, out, err

    def bought(self) -> list[dict[str, Any]]:
        """The scores in the file; the line that is being written aside."""
        text = self.results.read_text() if self.results.exists() else ""
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [line["scored"] for line in lines if "scored" in line]

    @property
    def spent(self) -> float:
        """Dollars of today."""
        return float(self.application.value("select coalesce(sum(spent_usd), 0) from leadhook.costs"))


async def answer(store: SupabaseStore) -> None:
    """What a service that scores every lead 30 leaves behind."""
    score = Score(score=30, response="So so", should_contact=False)
    paid = Checkpoint(
        prompt_version="p",
        input_version="i",
        model="m",
        score=score,
        message=Message(subject="ineligible", message="ineligible"),
    )
    batch = await store.claim(ClaimRequest(worker="w", token=uuid4(), limit=50, low_priority_limit=0, source="webhook"))
    results = [
        Result(
            lead_id=lead.lead_id,
            fence=lead.fence,
            checkpoint=paid,
            key_fingerprint=None,
            usage=Usage(calls=1, input_tokens=1000, output_tokens=200),
            timing=Timings(model_ms=700),
        )
        for lead in batch.leads
    ]
    await store.save("w", results)


@pytest.fixture
async def operator(wired_supabase: Supabase, application: Application, tmp_path: Path) -> AsyncIterator[Operator]:
    """Leads that were answered before, whose score rises above 50 with the company's criteria."""
    application.set_keys(SECRET)
    leads = [f"lead-{n:02}" for n in range(1, LEADS + 1)]
    application.bring(
        leads,
        application.new_group(USER, "t"),
        name="Jane <b>Doe",
        title="CTO",
        company_name="Acme Pumps",
        bio="Twenty years of pumps.",
    )
    async with open_store(wired_supabase.url, wired_supabase.secret_key) as store:
        await answer(store)
    async with standing_in() as google:
        yield Operator(wired_supabase, application, google, tmp_path)


async def test_a_prompt_is_evaluated(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "new.toml").write_text('scoring_criteria_and_icp = "Technical founders of companies with pumps"')
    arguments = ("--limit", "5", "--noise", "2", "--prompts-file", "new.toml")
    code, out, _ = await operator.evaluate(*arguments, "--dry-run")
    assert code == 0
    assert out.startswith("would buy 7 scores of 5 leads with gemini-3.5-flash-lite, about $0.00")
    assert (await operator.google.calls(), operator.results.exists()) == ([], False)

    code, _, err = await operator.evaluate(*arguments)
    assert (code, "--yes" in err, await operator.google.calls()) == (2, True, [])

    code, out, err = await operator.evaluate(*arguments, "--yes", "--json", "--html", "report.html")
    found = json.loads(out)
    assert (code, err, found["compared"], found["up"], found["noise"]["leads"]) == (0, "", 5, 5, 2)
    assert [one["old_subject"] for one in found["results"]] == ["ineligible"] * 5
    assert operator.spent == pytest.approx(found["spent"]["total_usd"])
    assert len(await operator.google.calls()) == 12  # 5 scores, 5 messages, 2 scores again
    assert "Technical founders" in json.dumps(await operator.google.body(1))
    assert operator.application.value("select count(*) from llm_response where score = 30") == LEADS

    code, out, _ = await operator.evaluate(*arguments)
    assert (code, "cross 50 upwards      5" in out) == (0, True)
    assert len(await operator.google.calls()) == 12

    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "<b>Doe" not in page


async def test_ctrl_c_keeps_what_was_bought_and_the_next_run_buys_the_rest(operator: Operator) -> None:
    await operator.google.order(latency_ms=200)
    code, out, err = await operator.evaluate("--yes", "--json", interrupt_after=3)
    first = json.loads(out)
    assert code == 130
    assert 3 <= first["compared"] < LEADS
    assert first["failures"] == []
    assert f"{first['missing']} leads have no new score yet; the same command continues" in err
    assert operator.spent == pytest.approx(first["spent"]["total_usd"])

    code, out, _ = await operator.evaluate("--yes", "--json")
    found = json.loads(out)
    assert (code, found["compared"], found["missing"]) == (0, LEADS, 0)
    assert sorted(one["lead_id"] for one in operator.bought()) == [f"lead-{n:02}" for n in range(1, LEADS + 1)]
    steps = [call["step"] for call in await operator.google.calls()]
    contacted = sum(one["new_score"] >= 50 for one in found["results"])
    assert (steps.count("score"), steps.count("message")) == (LEADS, contacted)
    assert operator.spent == pytest.approx(found["spent"]["total_usd"])


async def test_a_budget_and_a_pause_stop_it(operator: Operator) -> None:
    async with open_store(operator.supabase.url, operator.supabase.secret_key) as store:
        await store._call("leadhook_set_budget", {"p_user_id": str(USER), "p_daily_usd": 0.037, "p_actor": "ann"})
        code, out, err = await operator.evaluate("--yes", "--json")
        found = json.loads(out)
        assert code == 1
        assert 0 < found["compared"] < LEADS
        assert operator.spent <= 0.037
        assert f"{found['missing']} leads were not scored: they are paused, or a budget is too small for them." in err

        await store._call("leadhook_pause", {"p_actor": "ann"})
        calls = len(await operator.google.calls())
        code, _, err = await operator.evaluate("--yes", "--json")
        assert (code, len(await operator.google.calls())) == (1, calls)
        assert err.startswith("Stopped: All leads are paused; `leadhook resume` ends the pause.")
