"""The model fails: for one step, for everyone, or because every key is bad."""

import time

import pytest
from tests.conftest import poll
from tests.faults.conftest import Arena
from tests.faults.invariants import assert_all_done, assert_one_answer_each
from tests.support.orders import fingerprint
from tests.support.project import KEYS

MOST_CALLS = 40
"""In an outage of a minute, beyond those in flight."""


def test_score_is_bought_once_though_the_message_fails_three_times(arena: Arena) -> None:
    project = arena.project
    (lead,) = project.bring(1, title="Chief pumps director")
    project.model.order({"match": {"step": "message", "first": 3}, "do": {"error": 503}})
    arena.serve()
    arena.wait_until_done([lead])

    assert project.model.questions() == {(lead, "score"): 1, (lead, "message"): 4}
    assert_one_answer_each(project, [lead])
    outcomes = project.run("select outcome from leadhook.attempts order by id")
    assert [row[0] for row in outcomes] == ["returned", "returned", "returned", "saved"]


def test_outage_of_the_model_burns_no_lead_and_few_calls(arena: Arena) -> None:
    project = arena.project
    project.model.behave(latency_ms=300)
    leads = project.bring(260 if arena.long else 60)
    service = arena.serve().wait_until_up()
    poll(lambda: len(project.answered(leads)) >= 20, service.tail)
    project.model.order({"do": {"error": 503}})
    began_at, newest = time.time(), project.model.newest()
    waiting = len(leads) - len(project.answered(leads))
    poll(lambda: "Since" in str(service.ready()["reasons"]), lambda: str(service.ready()))
    time.sleep(max(0.0, began_at + (60 if arena.long else 4) - time.time()))  # the length of the outage
    calls = len(project.model.calls(since=newest))
    assert "dead" not in project.states()
    assert "HTTP 503" in str(service.ready()["reasons"])

    project.model.behave(latency_ms=300)
    returned_at = time.monotonic()
    arena.wait_for_answers(leads)
    print(f"{waiting} waited, {calls} calls failed, all answered {time.monotonic() - returned_at:.0f} s later")  # noqa: T201 - a figure for people
    arena.wait_for_rest()
    assert calls <= MOST_CALLS
    assert_all_done(project, leads)
    assert project.model.repeated(answered=True) == 0
    poll(lambda: service.ready()["ready"], lambda: str(service.ready()))


@pytest.mark.long
def test_model_that_refuses_connections_burns_no_lead_and_few_calls(arena: Arena) -> None:
    project = arena.project
    project.model.behave(latency_ms=300)
    leads = project.bring(220)
    service = arena.serve().wait_until_up()
    poll(lambda: len(project.answered(leads)) >= 20, service.tail)
    project.model.stop()
    time.sleep(60)  # the length of the outage
    assert "dead" not in project.states()
    assert "Since" in str(service.ready()["reasons"])
    calls = project.value("select sum(calls) from leadhook.attempts where outcome <> 'saved'")

    project.model.start()
    arena.wait_until_done(leads)
    print(f"{calls} calls failed")  # noqa: T201 - a figure for people
    assert calls <= MOST_CALLS + 16
    assert_all_done(project, leads)


def test_bad_keys_end_the_calls_and_a_good_one_begins_them_again(arena: Arena) -> None:
    """One is refused, two rest; but for a probe a minute nothing is tried until a key comes, and then within 2 s."""
    project = arena.project
    refused, *resting = KEYS
    quota = {"status": 429, "reason": "MINUTE_QUOTA", "retry_s": 300}
    project.model.order(
        {"match": {"key": refused}, "do": {"error": {"status": 400, "reason": "API_KEY_INVALID"}}},
        *({"match": {"key": key}, "do": {"error": quota}} for key in resting),
    )
    leads = project.bring(40)
    proxy = arena.proxy()
    service = arena.serve(webhooks=True, proxy=proxy).wait_until_up()
    poll(lambda: project.value("select count(*) from leadhook.api_keys") == len(KEYS), service.tail)
    # A claim that saw a key as healthy may still be under way.
    poll(lambda: not project.held_by("%") and time.time() - project.model.calls()[-1]["time"] / 1000 > 3, service.tail)
    newest, claims = project.model.newest(), len(proxy.of("claim"))
    time.sleep(60 if arena.long else 6)  # how long nothing may happen
    probes = [call["key"] for call in project.model.calls(since=newest)]
    assert probes in ([], [fingerprint(refused)]), "calls were made with keys that are known to be bad"
    assert len(proxy.of("claim")) - claims <= 2 + 2 * len(probes), "claims without a key are a busy loop"
    prints = dict(
        project.run(
            "select fingerprint, to_char(until at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
            " from leadhook.api_keys"
            " where state = 'cooling'"
            " union all select fingerprint, null from leadhook.api_keys where state = 'disabled'"
        )
    )
    reasons = str(service.ready()["reasons"])
    assert all(print_ in reasons for print_ in prints), reasons
    assert all(until in reasons for until in prints.values() if until), (prints, reasons)

    newest = project.model.newest()
    project.run("insert into public.gemini_api (api_key) values ('visibly-fake-good-key')")
    committed_at = time.time()
    poll(lambda: project.model.newest() > newest, service.tail)
    first = project.model.calls(since=newest)[0]["time"] / 1000
    print(f"first call {first - committed_at:.2f} s after the commit of a good key")  # noqa: T201 - a figure for people
    assert first - committed_at <= (2 if arena.long else 60), "the keys rest for 300 s"
    arena.wait_until_done(leads)
    assert_all_done(project, leads)
