"""The console's pages: what they show of hostile data, and what their buttons ask for."""

import re
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from leadhook.domain.console import (
    AuditEntry,
    AuditFilter,
    BacklogRelease,
    Delivery,
    FailureGroup,
    FoundLead,
    LeadSearch,
    ListedKey,
)
from leadhook.domain.lead_snapshot import Attempt, Job, LeadSnapshot, PastResult, Replay, WebhookDelivery
from leadhook.domain.replays import ReplayCount, ReplayStatus, ReplaySummary
from leadhook.domain.status import Pause, Status
from leadhook.store import StoreError

from .conftest import GOOD_STATUS, READER, Service
from .test_console import form_token, sign_in

NOW = "2026-11-27T12:00:00Z"
USER = "7b1c9a3e-5d2f-4e6a-9c8b-1f0e2d3c4b5a"
HOSTILE = (
    "\"><script>alert(1)</script><img src=x onerror=alert(1)>'{{ 7*7 }}</textarea></title></style>javascript:alert(1)"
    "\u202egnirts\u2066 \x07" + "w" * 3000
)
"""Markup, a template, quotes, text that runs backwards, a bell, and a very long word."""


def spoiled(model: type[BaseModel], **given: Any) -> dict[str, Any]:
    """Fields of this model of which every text is hostile, but for those that are given."""
    texts = {name: HOSTILE for name, field in model.model_fields.items() if field.annotation in (str, str | None)}
    lists = {name: [HOSTILE] for name, field in model.model_fields.items() if field.annotation == tuple[str, ...]}
    return texts | lists | given


ATTEMPT = spoiled(Attempt, run=1, outcome="dead", calls=2, cost_usd=0.002, model_ms=1200, finished_at=NOW)
RESULT = spoiled(
    PastResult,
    run=1,
    score=82,
    should_contact=True,
    claims=[{"words": HOSTILE, "source": HOSTILE, "quote": HOSTILE}],
    flags=["asks_for_score", HOSTILE],
    written=True,
    created_at=NOW,
)
SNAPSHOT = LeadSnapshot.model_validate(
    {
        "lead_id": HOSTILE,
        "now": NOW,
        "eligibility": {
            **dict.fromkeys(("known", "has_details", "scrapped", "has_prompts", "unsent", "eligible"), True),
            "user_id": USER,
            "tag": HOSTILE,
        },
        "job": spoiled(Job, state="dead", available_at=NOW, finished_at=NOW),
        "attempts": [ATTEMPT],
        "results": [RESULT, RESULT],
        "replays": [spoiled(Replay, id=7, created_at=NOW)],
        "webhooks": [spoiled(WebhookDelivery, sent_at=NOW)],
        "triggers": dict.fromkeys(("all_leads", "lead_details", "prompts"), True),
    }
)
LEAD = spoiled(FoundLead, user_id=USER, state="dead", score=82, finished_at=NOW)
PAUSE = spoiled(Pause, user_id=USER, paused_at=NOW)
BUDGET = {"user_id": USER, "daily_usd": 5, "left_usd": 0, "spent": True, "needed_usd": 0.01}
REPLAY = spoiled(ReplaySummary, replay_id=7, phase="queueing", created_at=NOW)
PERIOD = {"at": NOW, "leads_in": 9, "scored": 7, "contact": 3, "failed": 1, "by_sweep": 1}
REPLIES = {
    "leadhook_overview": {
        "now": NOW,
        "counted_until": NOW,
        "hours": [PERIOD] * 48,
        "days": [PERIOD] * 30,
        "scores": [{"score": score, "leads": score} for score in range(0, 100, 10)],
        "last_hour": {"leads": 3, "first_call_p50": 28, "first_call_p95": 20_000, "saved_p50": 2100, "saved_p95": 9e6},
    },
    "leadhook_search_leads": {"leads": [LEAD], "after": HOSTILE, "count": 10_000, "complete": False},
    "leadhook_lead_input": {
        "lead": {"lead_id": HOSTILE, "name": HOSTILE, "bio": HOSTILE},
        "prompts": {"wildnet_data": HOSTILE, "scoring_criteria_and_icp": HOSTILE, "message_prompt": HOSTILE},
    },
    "leadhook_failures": {
        "groups": [
            spoiled(
                FailureGroup,
                state="dead",
                count=10_000,
                reasons=[{"reason": HOSTILE, "leads": 3}, {"reason": "another", "leads": 1}],
                last_at=NOW,
            )
        ]
    },
    "leadhook_progress": {
        "now": NOW,
        "replays": [{**REPLAY, "filter": {"tag": HOSTILE}, "queued": 9, "waiting": 3, "per_minute": 2, "ends_at": NOW}],
        "release": {
            "waiting": 5,
            "total": 9,
            "per_minute": 2.5,
            "ends_at": NOW,
            "releases": [spoiled(BacklogRelease, release_id=3, limit=20, released=9, user_id=USER, created_at=NOW)],
        },
    },
    "leadhook_replays": {"replays": [{**REPLAY, "counts": {"queued": 3, HOSTILE: 1}}]},
    "leadhook_admission": {"pauses": [PAUSE], "budgets": [BUDGET]},
    "leadhook_held_leads": {
        "held": 3,
        "looked_at": 3,
        "answered": 1,
        "sent": 0,
        "size": {"leads": 2, "score_chars": 6000, "message_chars": 6000},
        "groups": [{"user_id": USER, "tag": HOSTILE, "asked_at": NOW, "held": 3}],
    },
    "leadhook_replay_preview": {"counts": {"queued": 3, "held": 1}, "sample": [HOSTILE], "complete": True},
    "leadhook_keys": {"keys": [spoiled(ListedKey, state="cooling", until=NOW)]},
    "leadhook_deliveries": {
        "deliveries": [
            spoiled(Delivery, id=3, sent_at=NOW, sent=True),
            spoiled(Delivery, id=2, sent_at=NOW, sent=True, status_code=202, error=None),
        ],
        "before": 2,
    },
    "leadhook_audit": {
        "entries": [
            spoiled(
                AuditEntry,
                id=1,
                at=NOW,
                action="replay",
                parameters={"replay_id": 7, "filter": {HOSTILE: HOSTILE}, HOSTILE: HOSTILE},
            )
        ],
        "before": 1,
    },
}
STATUS = Status.model_validate(
    {
        "jobs": {"dead": 1000, "ready": 3},
        "keys": {"total": 1, "cooling": 1},
        "parked_keys": [{"fingerprint": HOSTILE, "reason": HOSTILE}],
        "pauses": [PAUSE],
        "budgets": [BUDGET],
        "triggers": {HOSTILE: False},
        "held_snapshot": {"held_by": HOSTILE, "name": HOSTILE, "role": HOSTILE},
    }
)
QUERIES = {
    "/console/lead": {"id": HOSTILE},
    "/console/lead/live": {"id": HOSTILE},
    "/console/lead/sent": {"id": HOSTILE},
    "/console/leads": {"q": HOSTILE, "tag": HOSTILE, "state": "dead"},
    "/console/replay": {"error_code": HOSTILE[:150], "tag": "t"},
    "/console/pause": {"user_id": USER, "tag": HOSTILE},
    "/console/resume": {"user_id": USER, "tag": HOSTILE},
    "/console/budget": {"user_id": USER, "daily_usd": "3"},
    "/console/release": {"user_id": USER, "tag": HOSTILE},
    "/console/release/stop": {"release_id": "3"},
    "/console/key": {"fingerprint": HOSTILE},
    "/console/audit": {"actor": HOSTILE},
    "/console/sign-in": {"code": HOSTILE, "next": HOSTILE},
}
SHOWN = [
    "/console",
    "/console/live",
    "/console/failures",
    "/console/replays",
    "/console/replays/7",
    "/console/replays/7/live",
    "/console/replays/7/stop",
    "/console/pauses",
    "/console/budgets",
    "/console/backlog",
    "/console/backlog/live",
    "/console/keys",
    "/console/webhooks",
    *QUERIES,
]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
async def console(service: Service) -> Service:
    """An admin is signed in, and everything in the database is hostile."""
    await sign_in(service)
    store = service.store
    store.rpc |= REPLIES
    store.snapshot, store.on_status = SNAPSHOT, STATUS
    store.on_dry_run = [ReplayCount(counts={"queued": 3, "held": 1}, sample=(HOSTILE,))]
    store.on_replay_status = ReplayStatus.model_validate(
        {
            **{name: REPLAY[name] for name in ("replay_id", "phase", "actor", "reason", "created_at")},
            "found": True,
            "filter": {"tag": HOSTILE},
            "progress": {"waiting": 2, "done": 1},
            "leads": [{"lead_id": HOSTILE, "state": "failed", "error_code": HOSTILE, "reason": HOSTILE}],
            "next_after": HOSTILE,
        }
    )
    return service


async def read(service: Service, path: str, **params: Any) -> Page:
    """The page at this path; without parameters, with those of `QUERIES`."""
    answer = await service.client.get(path, params=params or QUERIES.get(path))
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


@pytest.mark.parametrize("path", SHOWN)
async def test_hostile_text_stays_text(console: Service, path: str) -> None:
    """In elements, attributes and addresses: no script, no handler, no other target, and nothing that hides text."""
    page = await read(console, path)
    known = {"/console/static/htmx.min.js", "/console/static/console.js"}
    for tag, attributes in page.tags:
        assert tag not in {"img", "style", "iframe", "object", "base"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        if tag == "script":
            assert attributes["src"] in known
        for name in ("href", "action", "src", "hx-get"):
            assert re.match(r"/|#main", attributes.get(name) or "/"), attributes
    shown = page.text + "".join(
        value or "" for tag, every in page.tags for name, value in every.items() if name != "value"
    )
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", shown)


async def test_a_reader_is_offered_no_action(console: Service) -> None:
    await sign_in(console, READER)
    for path in SHOWN:
        if path != "/console/lead/sent":
            page = await read(console, path)
            posts = {form["action"] for tag, form in page.tags if tag == "form" and form.get("method")}
            assert posts <= {"/console/sign-out", "/console/sign-in"}


ACTIONS = [
    ("/console/pause", {"user_id": USER, "tag": "t"}, "leadhook_pause", {"p_user_id": USER, "p_tag": "t"}),
    ("/console/resume", {}, "leadhook_resume", {"p_user_id": None, "p_tag": None}),
    ("/console/budget", {"daily_usd": "2.5"}, "leadhook_set_budget", {"p_user_id": None, "p_daily_usd": 2.5}),
    ("/console/budget", {"user_id": USER}, "leadhook_set_budget", {"p_user_id": USER, "p_daily_usd": None}),
    ("/console/key", {"fingerprint": "key_1"}, "leadhook_unpark_key", {"p_fingerprint": "key_1"}),
    (
        "/console/release",
        {"user_id": USER, "tag": "t", "limit": "2"},
        "leadhook_begin_release",
        {"p_user_id": USER, "p_tag": "t", "p_limit": 2, "p_redo": False},
    ),
    ("/console/release/stop", {"release_id": "3"}, "leadhook_stop_release", {"p_release_id": 3}),
]


@pytest.mark.parametrize(("path", "query", "function", "parameters"), ACTIONS, ids=lambda given: str(given)[:25])
async def test_a_button_calls_the_function_of_the_command(
    console: Service, path: str, query: dict[str, str], function: str, parameters: dict[str, Any]
) -> None:
    """With who and why; without a reason it does not."""
    fields = {"form_token": await form_token(console)}
    refused = await console.client.post(path, params=query, data=fields)
    assert (refused.status_code, console.store.acted) == (422, [])

    preview = await console.client.get(path, params=query)
    forms = re.findall(r'name="request_id" value="([^"]+)"', preview.text)
    sent = {**fields, "reason": " because ", **({"request_id": forms[0]} if forms else {})}
    done = await console.client.post(path, params=query, data=sent)
    assert done.status_code == 303, done.text
    name, given = console.store.acted[0]
    assert name == function
    assert given.pop("p_request_id", None) == (forms[0] if function == "leadhook_begin_release" else None)
    assert given.pop("p_actor").startswith("admin:")
    assert given.pop("p_reason") == "because"
    assert {key: given[key] for key in parameters} == parameters


@pytest.mark.parametrize(
    ("query", "call"),
    [
        ({"lead_id": "a/b ?&\u202e"}, ("replay",)),
        ({"error_code": "model_refused", "state": "dead", "score_max": "49"}, None),
        ({"all": "true"}, ("replay_filtered", {"all": True}, None)),
    ],
)
async def test_a_replay_is_counted_first_and_then_started(
    console: Service, query: dict[str, str], call: tuple[Any, ...] | None
) -> None:
    preview = await console.client.get("/console/replay", params=query)
    assert "3 leads would be scored again" in preview.text
    action = next(
        value["action"]
        for tag, value in Page(preview.text).tags
        if tag == "form" and value.get("action") != "/console/sign-out"
    )
    assert action is not None
    (form,) = re.findall(r'name="request_id" value="([^"]+)"', preview.text)
    done = await console.client.post(
        action, data={"form_token": await form_token(console), "reason": "a better prompt", "request_id": form}
    )

    assert (done.status_code, done.headers["location"]) == (303, "/console/replays/7")
    expected = call or ("replay_filtered", {"error_code": "model_refused", "state": "dead", "score_max": 49}, None)
    assert console.store.calls[-1] == expected
    ids, actor, reason = console.store.replayed[-1]
    assert ids == ([query["lead_id"]] if "lead_id" in query else [])
    assert (actor[:6], reason) == ("admin:", "a better prompt")
    assert console.store.forms == ([] if "lead_id" in query else [UUID(form)]), "a second click is the same request"
    assert console.engine.webhooks == [[]], "the dispatcher is awake"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/console/leads", {"score_min": "101"}),
        ("/console/leads", {"user_id": "x"}),
        ("/console/leads", {"state": "x"}),
        ("/console/leads", {"since": "yesterday"}),
        ("/console/lead", {}),
        ("/console/replay", {}),
        ("/console/replay", {"lead_id": "a", "tag": "b"}),
        ("/console/replay", {"state": "x"}),
        ("/console/pause", {"tag": "without a user"}),
        ("/console/budget", {"daily_usd": "nan"}),
        ("/console/budget", {"daily_usd": "-1"}),
        ("/console/release", {"limit": "0"}),
        ("/console/audit", {"before": "9" * 30}),
        ("/console/lead", {"id": "a\x00b"}),
    ],
)
async def test_a_query_that_makes_no_sense_is_explained(console: Service, path: str, query: dict[str, str]) -> None:
    answer = await console.client.get(path, params=query)
    assert answer.status_code == 422
    assert "Value error" not in answer.text
    assert "Something is missing" in answer.text


@pytest.mark.parametrize("model", [LeadSearch, AuditFilter])
@pytest.mark.parametrize("given", ["2026-11-27T18:00:00+18:00", "2026-11-27T00:00:00", "2026-11-27T00:00:00Z"])
def test_a_time_is_sent_in_utc(model: type[LeadSearch | AuditFilter], given: str) -> None:
    """Postgres accepts no offset of 16 hours or more; without an offset, it is UTC."""
    sent = model.model_validate({"since": given}).model_dump(mode="json")["since"]
    assert sent == "2026-11-27T00:00:00Z"


@pytest.mark.parametrize("path", ["/console/replays/x", "/console/replays/" + "9" * 5000, "/console/nothing"])
async def test_what_is_not_there_is_404(console: Service, path: str) -> None:
    """As a page, or as the API's problem outside of the table of pages."""
    assert (await console.client.get(path)).status_code == 404


async def test_a_release_shows_what_it_costs(console: Service) -> None:
    """Three are held, one of them was answered before and stays."""
    page = await console.client.get("/console/release", params={"user_id": USER})
    assert "2 leads of user" in page.text
    assert re.search(r"about \$0\.\d+ at most with", page.text)
    assert "Release 2 leads" in page.text


@pytest.mark.parametrize(
    ("held", "limit", "said", "button"),
    [
        (5_000, 1_000_000, "About 4,000 leads would be queued", "Release all of them"),
        (10_000, 1_000_000, "At least about 8,000 leads would be queued", "Release all of them"),
        (10_000, 300, "300 leads would be queued", "Release 300 leads"),
    ],
)
async def test_a_large_release_does_not_claim_to_be_counted(
    console: Service, held: int, limit: int, said: str, button: str
) -> None:
    """Of 500 that were looked at, 100 have an answer; beyond 10,000, it says that all of them cost more."""
    console.store.rpc["leadhook_held_leads"] = {
        "held": held,
        "looked_at": 500,
        "answered": 100,
        "sent": 0,
        "size": {"leads": 400, "score_chars": 400_000, "message_chars": 400_000},
    }
    page = await read(console, "/console/release", limit=limit)
    assert said in page.text
    assert button in page.text
    assert ("all of them cost more" in page.text) == (held == 10_000 and limit > held)


async def test_a_large_replay_does_not_claim_to_be_counted(console: Service) -> None:
    """Neither its leads nor what they cost."""
    usage = {"known": 3000, "calls": 6000, "cost_usd": 3.0}
    console.store.rpc["leadhook_replay_preview"] = {"counts": {"queued": 3000}, "usage": usage, "complete": False}
    page = await read(console, "/console/replay", state="dead")
    assert "At least 3,000 leads would be scored again" in page.text
    assert "Forecast: at least about $3.00" in page.text
    assert "Replay all that match" in page.text


@pytest.mark.parametrize(
    ("waiting", "said"),
    [(30_000, "170,000 of 200,000 finished"), (100_000, "100,000+ leads wait"), (0, "200,000 of 200,000 finished")],
)
async def test_a_large_replay_shows_what_waits_and_not_what_it_cannot_count(
    console: Service, waiting: int, said: str
) -> None:
    """Neither the states of its leads nor what they cost so far."""
    replay = {"found": True, "replay_id": 7, "counts": {"queued": 200_000}, "complete": False}
    console.store.on_replay_status = ReplayStatus.model_validate({**replay, "progress": {"waiting": waiting}})
    page = await read(console, "/console/replays/7")
    assert said in page.text
    assert ("running" if waiting else "finished") in page.text
    assert "cost so far" not in page.text
    assert "leadhook replay status 7" in page.text


async def test_a_lead_has_a_name(console: Service) -> None:
    """And its company; without a row in lead_details it has its id."""
    console.store.rpc["leadhook_search_leads"] = {
        "leads": [{"lead_id": "a", "state": "dead", "name": "Ann <b>", "company": "B & C"}]
    }
    page = await read(console, "/console/lead", id="a")
    assert "Ann <b>" in page.text
    assert "B & C" in page.text
    console.store.rpc["leadhook_search_leads"] = {"leads": []}
    assert "Ann" not in (await console.client.get("/console/lead", params={"id": "a"})).text


async def test_an_unavailable_database_is_reported(console: Service) -> None:
    console.store.rpc["leadhook_failures"] = StoreError("unavailable", "refused", "the connection was refused")
    answer = await console.client.get("/console/failures")
    assert answer.status_code == 503
    assert "the connection was refused" in answer.text


async def test_an_address_that_was_cut_off_is_explained(console: Service) -> None:
    """The place in a search is in the address; the database refuses what it did not give out."""
    refusal = StoreError("caller_bug", "PT400", "the filter or the cursor is invalid")
    console.store.rpc["leadhook_search_leads"] = refusal
    answer = await console.client.get("/console/leads", params={"state": "dead", "after": '["a", '})
    assert answer.status_code == 422
    assert "Search again" in answer.text
    assert (await console.client.get("/console/leads", params={"state": "dead"})).status_code == 500


async def test_an_unknown_lead_is_explained(console: Service) -> None:
    nothing = dict.fromkeys(("known", "has_details", "scrapped", "has_prompts", "unsent", "eligible"), False)
    console.store.snapshot = LeadSnapshot.model_validate({"lead_id": "x", "now": NOW, "eligibility": nothing})
    answer = await console.client.get("/console/lead", params={"id": "x"})
    assert answer.status_code == 404
    assert "The lead is unknown" in answer.text


async def test_an_open_page_asks_five_times_a_minute(console: Service) -> None:
    """One request each time, and none for what no longer moves."""
    polls: list[str | None] = []
    for path in SHOWN:
        page = await read(console, path)
        polls += [attributes.get("hx-trigger") for _, attributes in page.tags if "hx-get" in attributes]
    assert set(polls) == {"every 12s, shown from:body"}
    assert len(polls) == 3, "the overview, the running replay and the release; the dead lead is not renewed"


async def test_the_overview_is_good_when_nothing_is_wrong(service: Service) -> None:
    await sign_in(service)
    service.store.on_status = GOOD_STATUS.model_copy(
        update={"workers": Status.model_validate({"workers": [{"worker": "w", "claimed_ms": 1}]}).workers}
    )
    answer = await service.client.get("/console")
    assert "Nothing keeps leads waiting" in answer.text


async def test_the_overview_says_that_it_has_not_counted_everything(console: Service) -> None:
    """After an upgrade, a month of attempts is counted oldest first, and the last hours would look idle."""
    said = "Attempts that ended after 2026-11-20 08:30 are not counted yet"
    assert said not in (await read(console, "/console")).text
    console.store.rpc["leadhook_overview"] = {"now": NOW, "counted_until": "2026-11-20T08:30:00Z"}
    assert said in (await read(console, "/console")).text
