"""The figures of an evaluation, its file of results, and its page."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest

from leadhook.command_error import MisuseError
from leadhook.domain.evaluation import AnsweredLead, BudgetLeft, OpenAdmission, SavedAnswer
from leadhook.domain.lead import Prompts
from leadhook.evaluate.figures import Report, crossing, report
from leadhook.evaluate.page import render
from leadhook.evaluate.results import Candidate, Purpose, ResultsFile, Scored, read_results

USER = UUID("00000000-0000-4000-8000-000000000001")
OTHER = UUID("00000000-0000-4000-8000-000000000002")
CANDIDATE = Candidate(model="gemini-x")
HOSTILE = "</bdi></svg><script>alert(1)</script><img src='//evil.example.com/x'>\"&\x1b[31m\u202e"


def saved(score: int, subject: str = "An offer") -> SavedAnswer:
    return SavedAnswer(score=score, should_contact=score >= 50, subject=subject)


class Bought:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = ResultsFile.open(path, CANDIDATE)

    def add(self, lead_id: str, old: int, new: int | None, purpose: Purpose = "score", **more: object) -> Scored:
        fields = {"subject": "Hello", "usd": 0.002, "model_ms": 400, "saved_usd": 0.001, "saved_ms": 200} | more
        scored = Scored.model_validate(
            {"no": self.file.next_no(), "purpose": purpose, "lead_id": lead_id, "saved": saved(old), "score": new}
            | fields
        )
        self.file.keep(scored)
        return scored

    def report(self, *others: str) -> Report:
        ids = [one.lead_id for one in self.file.results.scored]
        return report(CANDIDATE, self.file.results, [*ids, *others])


@pytest.fixture
def bought(tmp_path: Path) -> Iterator[Bought]:
    bought = Bought(tmp_path / "results.jsonl")
    yield bought
    bought.file.close()


@pytest.mark.parametrize(
    ("old", "new", "crosses"), [(49, 50, "up"), (50, 49, "down"), (50, 100, None), (0, 49, None), (50, 50, None)]
)
def test_a_score_crosses_50_where_contact_begins(old: int, new: int, crosses: str | None) -> None:
    assert crossing(old, new) == crosses


def test_the_report_counts_crossings_shifts_and_agreement(bought: Bought) -> None:
    for lead_id, old, new in (("same", 80, 81), ("up", 40, 60), ("down", 55, 45), ("far", 0, 44)):
        bought.add(lead_id, old, new)
    found = bought.report("not yet")
    assert (found.leads, found.compared, found.missing) == (5, 4, 1)
    assert (found.up, found.down, found.agreement) == (1, 1, 0.5)
    assert (found.mean_shift, found.median_shift, found.mean_absolute_shift) == (13.75, 10.5, 18.75)
    assert (found.old_mean, found.new_mean) == (43.75, 57.5)
    assert [one.lead_id for one in found.results] == ["up", "down", "far", "same"]


def test_the_report_has_cost_and_model_time_before_and_now(bought: Bought) -> None:
    bought.add("a", 80, 81)
    bought.add("b", 80, 81, model_ms=600)
    bought.add("c", 80, None, error_code="answer_blocked", usd=0.01)
    bought.add("a", 80, 83, "noise", usd=0.02)
    spent = bought.report().spent
    assert (spent.old_usd_per_lead, spent.new_usd_per_lead, spent.total_usd) == (0.001, 0.002, 0.034)
    assert (spent.old_median_ms, spent.new_median_ms, spent.new_p95_ms) == (200, 500, 590)


def test_noise_is_the_difference_of_two_new_scores(bought: Bought) -> None:
    """Not the one to the saved score."""
    for lead_id, first, again in (("a", 48, 51), ("b", 70, 69)):
        bought.add(lead_id, 10, first)
        bought.add(lead_id, 10, again, "noise")
    noise = bought.report().noise
    assert (noise.leads, noise.mean_absolute_shift, noise.largest_shift, noise.crosses) == (2, 2, 3, 1)


def test_the_report_of_nothing_is_no_error(bought: Bought) -> None:
    found = bought.report()
    assert (found.compared, found.agreement, found.mean_shift, found.spent.total_usd) == (0, None, None, None)
    assert "<svg" not in render(found)


def test_a_failure_is_reported_once_and_with_its_last_reason(bought: Bought) -> None:
    bought.add("a", 80, None, error_code="model_timeout", reason="late", is_final=False)
    bought.add("a", 80, None, error_code="model_overloaded", reason="busy", is_final=False)
    bought.add("b", 80, None, error_code="model_timeout", is_final=False)
    bought.add("b", 80, 70)
    found = bought.report()
    assert [(one.lead_id, one.error_code) for one in found.failures] == [("a", "model_overloaded")]
    assert (found.compared, found.missing) == (1, 1)


def test_what_leads_and_models_say_is_only_text_in_the_page(bought: Bought) -> None:
    bought.add(HOSTILE, 40, 60, subject=HOSTILE, reason=HOSTILE)
    bought.add("b" + HOSTILE, 40, None, error_code="x", reason=HOSTILE)
    page = render(bought.report())
    assert re.findall(r"<(?:script|img|link|iframe|object|image|use|a)\b", page) == []
    assert page.count("<svg") == page.count("</svg>") == 2
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_page_requests_nothing(bought: Bought) -> None:
    """The only addresses in it are the names of XML's vocabularies; a policy forbids the rest."""
    bought.add("a", 40, 60)
    page = render(bought.report())
    assert set(re.findall(r"https?://[^\"'<> ]+", page)) <= {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
    }  # fmt: skip
    assert re.findall(r"\b(?:src|href|srcset|action)=|@import|url\(", page) == []
    assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_the_charts_show_every_lead_and_its_id(bought: Bought) -> None:
    for number in range(7):
        bought.add(f"lead-{number}", 10 * number, 90 - 10 * number)
    bought.add("lead-0", 0, 91, "noise")
    scatter, histogram = map(ET.fromstring, re.findall(r"<svg.*?</svg>", render(bought.report()), re.DOTALL))
    titles = [title.text for title in scatter.iter() if title.tag.endswith("title")]
    assert {f"lead-{number}" for number in range(7)} <= set(titles)
    assert "noise" in "".join(histogram.itertext())


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Even one that was there, with other rights."""
    path = tmp_path / "r.jsonl"
    path.touch(0o644)
    ResultsFile.open(path, CANDIDATE).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_cut_off_line_is_bought_again_and_the_others_are_not(bought: Bought) -> None:
    """A crash in the middle of a line; the file goes on behind the last whole one."""
    bought.add("a", 80, 81)
    bought.add("b", 80, 82)
    bought.file.close()
    os.truncate(bought.path, bought.path.stat().st_size - 5)
    assert set(read_results(bought.path).final("score")) == {"a"}
    again = Bought(bought.path)
    again.add("b", 80, 83)
    again.file.close()
    assert {one.lead_id: one.score for one in read_results(bought.path).scored} == {"a": 81, "b": 83}


def test_a_purchase_is_unbooked_until_the_file_says_otherwise(bought: Bought) -> None:
    first, second = bought.add("a", 80, 81), bought.add("b", 80, 82)
    bought.file.booked(first)
    bought.file.close()
    assert read_results(bought.path).unbooked() == [second]


def test_a_file_of_another_candidate_is_refused(bought: Bought) -> None:
    """Its scores answer another question."""
    bought.file.close()
    with pytest.raises(MisuseError, match="another model or other prompts"):
        ResultsFile.open(bought.path, Candidate(model="gemini-x", message_prompt="Be brief."))


@pytest.mark.parametrize("content", [b"notes", b"notes\n", b'{"scored": 1}\n', b"{}\n"])
def test_a_file_that_is_no_results_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    """Whatever --results names."""
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(MisuseError, match="is not a results file"):
        ResultsFile.open(path, CANDIDATE)
    assert path.read_bytes() == content


def test_two_processes_never_use_one_file(bought: Bought) -> None:
    """They would buy everything twice."""
    with pytest.raises(MisuseError, match="another `leadhook evaluate` uses"):
        ResultsFile.open(bought.path, CANDIDATE)


def test_the_candidates_texts_replace_those_of_the_row() -> None:
    """One by one; an empty text is a text."""
    row = Prompts(wildnet_data="w", scoring_criteria_and_icp="s", message_prompt="m")
    candidate = Candidate(model="m", scoring_criteria_and_icp="new", message_prompt="")
    assert candidate.texts(row) == Prompts(wildnet_data="w", scoring_criteria_and_icp="new", message_prompt="")


@pytest.mark.parametrize(
    ("admission", "blocked"),
    [
        (OpenAdmission(), False),
        (OpenAdmission(everything="paused"), True),
        (OpenAdmission(user_ids=frozenset({USER})), True),
        (OpenAdmission(user_ids=frozenset({OTHER})), False),
        (OpenAdmission(groups=frozenset({f"{USER} t"})), True),
        (OpenAdmission(groups=frozenset({f"{USER} u"})), False),
        (OpenAdmission(budgets=(BudgetLeft(left_usd=3),)), False),
        (OpenAdmission(budgets=(BudgetLeft(left_usd=2.9),)), True),
        (OpenAdmission(budgets=(BudgetLeft(user_id=USER, left_usd=2),)), False),
        (OpenAdmission(budgets=(BudgetLeft(user_id=USER, left_usd=1.9),)), True),
        (OpenAdmission(budgets=(BudgetLeft(user_id=OTHER, left_usd=0),)), False),
    ],
)
def test_a_lead_waits_for_pauses_and_for_all_that_it_may_cost(admission: OpenAdmission, *, blocked: bool) -> None:
    """1 dollar, while calls of this user may cost 1 and those of another 1."""
    lead = AnsweredLead(lead_id="a", user_id=USER, tag="t", saved=saved(80))
    assert admission.blocks(lead, 1, [(USER, 1), (OTHER, 1)]) == blocked


def test_where_no_price_is_known_a_budget_blocks() -> None:
    """What can't be counted can't be limited."""
    lead = AnsweredLead(lead_id="a", user_id=USER, tag="t", saved=saved(80))
    assert OpenAdmission(budgets=(BudgetLeft(left_usd=100),)).blocks(lead, None, [])
    assert not OpenAdmission().blocks(lead, None, [])
