"""What must hold whatever happened: one lead, one answer."""

from collections.abc import Sequence

from tests.support.project import Project


def assert_one_answer_each(project: Project, leads: Sequence[str]) -> None:
    """No lead is lost, each has one row, one written result for its one run, and was saved once."""
    missing = set(leads) - project.answered(leads)
    assert not missing, f"{len(missing)} leads have no answer: {sorted(missing)[:3]}; jobs: {project.states()}"
    rows = project.run("select lead_id, count(*) from public.llm_response group by lead_id having count(*) <> 1")
    assert rows == [], "an answer stands twice"
    results = project.run(
        "select v.lead_id, v.run from leadhook.results v where (v.run <> 1 or not v.written) and v.lead_id = any (%s)"
        " union all select l, 0 from unnest(%s::text[]) l where not exists"
        " (select from leadhook.results v where v.lead_id = l)",
        list(leads),
        list(leads),
    )
    assert results == [], "not exactly one written result each"
    saved = project.run(
        "select lead_id, run from leadhook.attempts where starts_with(outcome, 'saved')"
        " group by 1, 2 having count(*) <> 1"
    )
    assert saved == [], "a run was saved twice"


def assert_nothing_left(project: Project) -> None:
    """No one holds or awaits anything, and no lead was set aside."""
    assert project.states().keys() <= {"done"}, project.states()
    assert project.value("select count(*) from leadhook.outbox") == 0, "outbox rows are left"


def assert_all_done(project: Project, leads: Sequence[str]) -> None:
    assert_one_answer_each(project, leads)
    assert_nothing_left(project)


def assert_only_lost_leases_cost_twice(project: Project) -> None:
    """A worker that loses its lease may have asked both questions."""
    expired = project.value("select count(*) from leadhook.attempts where outcome = 'lease_expired'")
    assert project.model.repeated() <= 2 * expired


def assert_calls_of_one(project: Project, leads: Sequence[str]) -> None:
    """Exactly the calls that one undisturbed process would make: a score each, a message from 50 up."""
    scores = dict(project.run("select lead_id, score from public.llm_response where lead_id = any (%s)", list(leads)))
    wanted = {(lead, "score"): 1 for lead in leads}
    wanted |= {(lead, "message"): 1 for lead, score in scores.items() if score >= 50}
    assert dict(project.model.questions()) == wanted
    assert sum(score >= 50 for score in scores.values()) > 0, "the leads are to need both steps"
