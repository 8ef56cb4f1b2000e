"""Replies that are lost on their way, and answers that are none."""

import json

import pytest
from tests.conftest import poll
from tests.faults.conftest import Arena
from tests.faults.invariants import assert_all_done, assert_calls_of_one, assert_one_answer_each
from tests.faults.proxy import Fault
from tests.support.project import SHORT_LEASES


def test_claims_renewals_and_saves_whose_replies_are_cut_are_repeated(arena: Arena) -> None:
    project = arena.project
    project.reset(renew_s=1)
    project.model.behave(latency_ms=1200)
    leads = project.bring(24)
    proxy = arena.proxy()
    for function in ("claim", "renew", "save"):
        proxy.spoil("cut", function, times=2)
    service = arena.serve(proxy=proxy, MAX_CONCURRENCY="8")
    arena.wait_until_done(leads)

    tokens = [exchange.request["p_token"] for exchange in proxy.of("claim")]
    assert tokens[0] == tokens[1] == tokens[2] != tokens[3]
    assert [exchange.fault for exchange in proxy.of("save")[:3]] == ["cut", "cut", None]
    assert proxy.count("cut") == 6, service.tail()
    assert project.value("select count(*) from leadhook.attempts where outcome = 'lease_expired'") == 0
    assert_all_done(project, leads)
    assert_calls_of_one(project, leads)


def test_release_whose_reply_is_cut_is_one_release(arena: Arena) -> None:
    project = arena.project
    leads = project.bring(4)
    project.model.order({"match": {"first": 4}, "do": {"error": 503}})
    proxy = arena.proxy()
    proxy.spoil("cut", "release", times=2)
    arena.serve(proxy=proxy)
    arena.wait_until_done(leads)

    assert proxy.count("cut") == 2
    assert project.run("select outcome, count(*) from leadhook.attempts group by 1 order by 1") == [
        ("returned", 4),
        ("saved", 4),
    ]
    assert_one_answer_each(project, leads)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param("503", "Supabase can't answer at the moment", marks=pytest.mark.long),
        ("html", "Supabase can't answer at the moment"),
        pytest.param("not_json", "is not understood|answers instead", marks=pytest.mark.long),
        pytest.param("401", "Supabase refuses the key", marks=pytest.mark.long),
        pytest.param("refuse", "connection broke|no connection", marks=pytest.mark.long),
    ],
)
def test_a_database_that_is_not_there_for_a_while_costs_nothing(arena: Arena, fault: Fault, words: str) -> None:
    project = arena.project
    project.model.behave(latency_ms=800)
    leads = project.bring(40)
    proxy = arena.proxy()
    service = arena.serve(proxy=proxy, MAX_CONCURRENCY="8").wait_until_up()
    poll(lambda: len(project.answered(leads)) >= 4, service.tail)
    proxy.spoil(fault, times=1000)
    poll(
        lambda: any(word in str(service.ready()["reasons"]) for word in words.split("|")), lambda: str(service.ready())
    )
    proxy.behave()
    arena.wait_until_done(leads)

    poll(lambda: service.ready()["ready"], lambda: str(service.ready()))
    assert_all_done(project, leads)
    assert_calls_of_one(project, leads)


@pytest.mark.parametrize("where", ["answer", "row"])
def test_a_lead_whose_text_a_firewall_forbids_stops_no_other(arena: Arena, where: str) -> None:
    """What Gemini says of it does not reach the database, or its row does not reach the service."""
    project = arena.project
    text = "union select password from users"
    says = {"MATCHED": [], "MISSED": [], "RESPONSE": text, "SCORE": 30, "SHOULD_CONTACT": 0}
    project.model.order({"match": {"lead": "Forbidden"}, "do": {"text": json.dumps(says)}}, {"do": {"latency_ms": 300}})
    proxy = arena.proxy()
    proxy.forbidden = text
    service = arena.serve(proxy=proxy, webhooks=True).wait_until_up()
    [bad] = project.bring(1, name="Forbidden", bio=text if where == "row" else "")
    for _ in range(3):
        arena.wait_for_answers(project.bring(5))

    assert project.value("select count(*) from leadhook.attempts where outcome = 'lease_expired'") == 0
    assert project.model.repeated() == 0
    assert "HTTP 403" in service.output(), service.tail()
    assert project.answered([bad]) == set()


def test_a_third_of_all_requests_spoiled_at_random_loses_no_lead(arena: Arena) -> None:
    project = arena.project
    project.reset(**SHORT_LEASES)
    project.model.behave(latency_ms=300)
    leads = project.bring(300 if arena.long else 24)
    proxy = arena.proxy()
    proxy.spoil_at_random(arena.chance, 0.33)
    for service in [arena.serve(proxy=proxy, MAX_CONCURRENCY="8") for _ in range(2)]:
        service.wait_until_up()
    arena.wait_for_answers(leads, 300)
    proxy.behave()
    arena.wait_for_rest()

    assert_all_done(project, leads)
    expired = project.value("select count(*) from leadhook.attempts where outcome = 'lease_expired'")
    spoiled = sum(exchange.fault is not None for exchange in proxy.exchanges)
    print(f"{spoiled} of {len(proxy.exchanges)} requests spoiled, {expired} leases ran out")  # noqa: T201 - a figure for people
    assert project.model.repeated() <= 2 * expired
