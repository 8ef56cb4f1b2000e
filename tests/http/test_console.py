"""The console: who gets in, who may do what, and what a page allows a browser to do."""

import re
import time
from collections.abc import Callable
from hashlib import sha256
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from leadhook.web.auth import Admins
from leadhook.web.console.routes import PAGES
from leadhook.web.console.sessions import COOKIE, LINK_S, SESSION_S
from leadhook.web.console.sign_in import FILES
from leadhook.web.console.visit import Page

from .conftest import ADMIN, OTHER_ADMIN, READER, Service

HTMX = "2.0.11"
HASHES = {
    "htmx.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "htmx.LICENSE": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
}
"""SHA-256 of the files as npm's package has them."""

RIGHTS = {
    "/console/sign-in": {"GET": "open", "POST": "open"},
    "/console/static/{file}": {"GET": "open"},
    "/console/sign-out": {"POST": "look"},
    "/console": {"GET": "look"},
    "/console/live": {"GET": "look"},
    "/console/leads": {"GET": "look"},
    "/console/lead": {"GET": "look"},
    "/console/lead/live": {"GET": "look"},
    "/console/lead/sent": {"GET": "admin"},
    "/console/failures": {"GET": "look"},
    "/console/replay": {"GET": "look", "POST": "admin"},
    "/console/replays": {"GET": "look"},
    "/console/replays/{replay_id}": {"GET": "look"},
    "/console/replays/{replay_id}/live": {"GET": "look"},
    "/console/replays/{replay_id}/stop": {"GET": "look", "POST": "admin"},
    "/console/pauses": {"GET": "look"},
    "/console/pause": {"GET": "look", "POST": "admin"},
    "/console/resume": {"GET": "look", "POST": "admin"},
    "/console/budgets": {"GET": "look"},
    "/console/budget": {"GET": "look", "POST": "admin"},
    "/console/backlog": {"GET": "look"},
    "/console/backlog/live": {"GET": "look"},
    "/console/release": {"GET": "look", "POST": "admin"},
    "/console/release/stop": {"GET": "look", "POST": "admin"},
    "/console/keys": {"GET": "look"},
    "/console/key": {"GET": "look", "POST": "admin"},
    "/console/webhooks": {"GET": "look"},
    "/console/audit": {"GET": "look"},
}
"""What each page of the console needs. A new page must be added here."""

ACTIONS = [page for page in PAGES if page.method == "POST" and page.right != "open"]


def address(page: Page) -> str:
    return page.path.replace("{file}", "console.css").replace("{replay_id}", "7")


async def sign_in(service: Service, token: str = ADMIN, **fields: str) -> httpx.Response:
    return await service.client.post("/console/sign-in", data={"token": token, **fields})


async def form_token(service: Service) -> str:
    page = await service.client.get("/console")
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page.text)
    assert found, page.text
    return found[1]


def cookie(answer: httpx.Response) -> Any:
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE]


def test_the_rights_of_every_page_are_declared() -> None:
    """A page that is missing in the table above is one that no test looks at."""
    declared = {(method, path): right for path, rights in RIGHTS.items() for method, right in rights.items()}
    assert {(page.method, page.path): page.right for page in PAGES} == declared
    assert [page.path for page in ACTIONS if page.right != "admin"] == ["/console/sign-out"]


def test_htmx_is_the_release_that_npm_has() -> None:
    """Byte for byte, of the version that its README names."""
    assert {file: sha256((FILES / file).read_bytes()).hexdigest() for file in HASHES} == HASHES
    assert f'version:"{HTMX}"' in (FILES / "htmx.min.js").read_text(encoding="utf-8")
    assert f"{HTMX} from npm" in " ".join((FILES / "README.md").read_text(encoding="utf-8").split())


async def test_all_of_it_is_closed_without_admin_tokens(service: Service) -> None:
    service.state["admins"] = Admins([], [SecretStr(READER)])
    for page in PAGES:
        answer = await service.client.request(page.method, address(page), data={"token": READER})
        assert (page, answer.status_code) == (page, 404)
        assert "leadhook" not in answer.text


async def test_a_stranger_is_asked_to_sign_in(service: Service) -> None:
    for page in PAGES:
        asked = f"{address(page)}?a=b"
        if page.right == "open":
            continue
        answer = await service.client.request(page.method, asked, data={"form_token": ""})
        if page.method == "POST":
            assert (page, answer.status_code) == (page, 401)
            continue
        where = urlsplit(answer.headers["location"])
        assert (answer.status_code, where.path, parse_qs(where.query)) == (303, "/console/sign-in", {"next": [asked]})
        live = await service.client.get(asked, headers={"hx-request": "true"})
        assert (live.status_code, live.headers["hx-redirect"]) == (401, "/console/sign-in")


async def test_a_reader_may_not_act(service: Service) -> None:
    await sign_in(service, READER)
    fields = {"form_token": await form_token(service)}
    for page in PAGES:
        if page.right == "admin":
            answer = await service.client.request(page.method, address(page), data=fields)
            assert (page, answer.status_code) == (page, 403)
            assert "ADMIN_READONLY_TOKENS" in answer.text
    assert not service.store.acted


@pytest.mark.parametrize(
    ("status", "changed"),
    [
        (401, lambda fields, _: fields.clear()),
        (401, lambda fields, _: fields.update(form_token="0" * 64)),
        (403, lambda _, headers: headers.update({"sec-fetch-site": "cross-site"})),
        (403, lambda _, headers: headers.update({"sec-fetch-site": "same-site"})),
        (403, lambda _, headers: headers.update({"origin": "https://evil.example"})),
        (403, lambda _, headers: headers.update({"origin": "null"})),
        (403, lambda _, headers: headers.update({"origin": "http://[::1"})),
    ],
    ids=["no token", "wrong token", "another site", "a neighbour", "another origin", "no origin", "half an origin"],
)
async def test_a_form_of_another_site_changes_nothing(
    service: Service, status: int, changed: Callable[[dict[str, str], dict[str, str]], None]
) -> None:
    await sign_in(service)
    fields, headers = {"form_token": await form_token(service)}, {"content-type": "application/x-www-form-urlencoded"}
    changed(fields, headers)
    for page in ACTIONS:
        answer = await service.client.post(address(page), data=fields, headers=headers)
        assert (page, answer.status_code) == (page, status)
        assert "set-cookie" not in answer.headers
    assert not service.store.acted


async def test_a_form_of_another_session_is_refused(service: Service) -> None:
    await sign_in(service, OTHER_ADMIN)
    others = await form_token(service)
    await sign_in(service)
    first = await form_token(service)
    await sign_in(service)
    for token in (others, first):
        answer = await service.client.post("/console/sign-out", data={"form_token": token})
        assert answer.status_code == 401


async def test_another_site_cannot_sign_someone_in(service: Service) -> None:
    """A victim in an attacker's session would work on the attacker's behalf."""
    answer = await service.client.post(
        "/console/sign-in", data={"token": ADMIN}, headers={"sec-fetch-site": "cross-site"}
    )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_every_answer_is_private_and_may_load_nothing_from_elsewhere(service: Service) -> None:
    """Whatever the answer is: the page, a redirect, an error."""
    await sign_in(service)
    for page in PAGES:
        for path in (address(page), f"{address(page)}?lead_id=%00&after=x&user_id=x"):
            headers = (await service.client.request(page.method, path)).headers
            policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
            wanted = {"default-src": "'none'", "frame-ancestors": "'none'", "form-action": "'self'"}
            assert policy.items() >= wanted.items()
            assert not re.search(r"unsafe|\*|http|data:", headers["content-security-policy"])
            assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")
            assert headers["cache-control"] == ("no-cache" if "static" in page.path else "no-store")


async def test_the_cookie_is_for_the_console_alone(service: Service) -> None:
    sent = cookie(await sign_in(service))

    assert (sent["httponly"], sent["samesite"], sent["path"]) == (True, "strict", "/console")
    assert sent["max-age"] == f"{SESSION_S}" == f"{12 * 3600}"
    assert not sent["secure"]
    assert ADMIN not in sent.value


@pytest.mark.parametrize("headers", [{"origin": "https://service"}, {"x-forwarded-proto": "https"}])
async def test_behind_https_the_cookie_is_secure(service: Service, headers: dict[str, str]) -> None:
    """Also where a proxy takes HTTPS off."""
    answer = await service.client.post("/console/sign-in", data={"token": ADMIN}, headers=headers)
    assert cookie(answer)["secure"] is True


async def test_a_session_ends_after_12_hours(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of the service, whatever the browser keeps."""
    await sign_in(service)
    now = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + SESSION_S - 2)
    assert (await service.client.get("/console")).status_code == 200
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + SESSION_S + 2)
    assert (await service.client.get("/console")).status_code == 303


async def test_a_changed_token_signs_everyone_out(service: Service) -> None:
    """Also those whose cookie names another admin."""
    await sign_in(service)
    service.state["admins"] = Admins([SecretStr(OTHER_ADMIN)])
    assert (await service.client.get("/console")).status_code == 303


async def test_no_session_is_continued_from_before_the_sign_in(service: Service) -> None:
    service.client.cookies.set(COOKIE, "chosen-by-someone", path="/console")
    first = cookie(await sign_in(service)).value
    second = cookie(await sign_in(service)).value
    assert len({"chosen-by-someone", first, second}) == 3
    service.client.cookies.clear()
    for value in ("chosen-by-someone", first[:-20] + first[-20:].swapcase(), "", "a.b.c", "." * 4000):
        answer = await service.client.get("/console", headers={"cookie": f"{COOKIE}={value}"})
        assert answer.status_code == 303


async def test_guessing_a_token_is_slowed_down(service: Service) -> None:
    answers = [await sign_in(service, "wrong") for _ in range(4)]
    answers.append(await service.client.post("/replay", json={}, headers={"authorization": "Bearer wrong"}))
    link = await service.client.post("/console/sign-in", data={"code": "wrong"})
    late = await sign_in(service, "wrong")

    assert [answer.status_code for answer in answers] == [401] * 5
    assert (link.status_code, late.status_code, late.headers["retry-after"]) == (429, 429, "5")
    assert (await sign_in(service)).status_code == 303


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("/console/leads?tag=a%2Fb", "/console/leads?tag=a%2Fb"),
        ("/console", "/console"),
        ("", "/console"),
        ("https://evil.example", "/console"),
        ("//evil.example", "/console"),
        ("/\\evil.example", "/console"),
        ("/console/..//evil.example\\@x", "/console"),
        ("/consolexyz", "/console"),
        ("/docs", "/console"),
        ("/console/\r\nset-cookie: a=b", "/console"),
        ("javascript:alert(1)", "/console"),
    ],
)
async def test_signing_in_leads_to_a_page_of_the_console(service: Service, asked: str, shown: str) -> None:
    form = await service.client.get("/console/sign-in", params={"next": asked})
    assert re.findall(r'name="next" value="([^"]*)"', form.text) == [shown]
    assert (await sign_in(service, next=asked)).headers["location"] == shown


async def test_a_link_signs_in_once(service: Service) -> None:
    created = await service.ask("POST", "/console/links")
    path = created.json()["path"]
    for _ in range(2):
        page = await service.client.get(path)
    code = re.findall(r'name="code" value="([^"]*)"', page.text)[0]
    assert service.store.acted == []
    first = await service.client.post("/console/sign-in", data={"code": code})
    shown = await service.client.get("/console")
    service.client.cookies.clear()
    service.store.rpc["leadhook_redeem_link"] = {"redeemed": False}
    second = await service.client.post("/console/sign-in", data={"code": code})

    actor = f"admin:{sha256(ADMIN.encode()).hexdigest()[:8]}"
    assert (first.status_code, shown.status_code, second.status_code) == (303, 200, 401)
    assert "used already" in second.text
    assert actor in shown.text
    asked = [parameters for _, parameters in service.store.acted]
    assert asked == [{"p_link": asked[0]["p_link"], "p_actor": actor}] * 2
    assert asked[0]["p_link"] not in code


async def test_a_link_is_over_after_an_hour_or_with_its_token(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await service.ask("POST", "/console/links")
    code = created.json()["path"].partition("code=")[2]
    session = cookie(await sign_in(service)).value
    service.client.cookies.clear()
    assert (await service.client.post("/console/sign-in", data={"code": session})).status_code == 401
    answer = await service.client.get("/console", headers={"cookie": f"{COOKIE}={code}"})
    assert answer.status_code == 303
    now = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + LINK_S + 2)
    assert (await service.client.post("/console/sign-in", data={"code": code})).status_code == 401
    monkeypatch.undo()
    service.state["admins"] = Admins([SecretStr(OTHER_ADMIN)])
    assert (await service.client.post("/console/sign-in", data={"code": code})).status_code == 401
    assert service.store.acted == []


async def test_a_link_is_for_admins_to_create(service: Service) -> None:
    """A reader's token is none of the API's."""
    answer = await service.ask("POST", "/console/links", authorization=f"Bearer {READER}")
    assert answer.status_code == 401


async def test_signing_out_removes_the_cookie(service: Service) -> None:
    await sign_in(service, READER)
    answer = await service.client.post("/console/sign-out", data={"form_token": await form_token(service)})
    assert (answer.status_code, cookie(answer)["max-age"]) == (303, "0")
    assert (await service.client.get("/console")).status_code == 303
