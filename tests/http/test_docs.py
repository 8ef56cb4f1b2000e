"""`GET /docs`: Swagger UI from our own origin, whose policy lets it load nothing else."""

import re
from collections.abc import Iterator
from hashlib import sha256

import pytest
from anyio.from_thread import start_blocking_portal
from tests.browser import Tab, chromium

from leadhook.domain.replays import ReplayCount
from leadhook.web.openapi import SWAGGER_UI as FILES

from .conftest import ADMIN, FakeStore, Service, serving

SWAGGER_UI = "5.35.0"
HASHES = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui-bundle.js.LICENSE.txt": "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
    "LICENSE": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "NOTICE": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
}
"""SHA-256 of the files as npm's package has them."""
OURS = {"index.html", "initializer.js", "README.md"}


def test_swagger_ui_is_the_release_that_npm_has() -> None:
    """Byte for byte, of the version that its README names."""
    found = {file.name: sha256(file.read_bytes()).hexdigest() for file in FILES.iterdir() if file.name not in OURS}

    assert found == HASHES
    assert f'PACKAGE_VERSION:"{SWAGGER_UI}"' in (FILES / "swagger-ui-bundle.js").read_text(encoding="utf-8")
    assert f"swagger-ui) {SWAGGER_UI} from npm" in (FILES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
async def test_the_page_is_there_with_and_without_a_slash(service: Service, path: str) -> None:
    answer = await service.client.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = re.findall(r'(?:src|href)="(/[^"]+)"', answer.text)
    assert named == ["/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/initializer.js", "/openapi.json"]
    for name in named:
        assert (await service.client.get(name)).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/swagger-ui-bundle.js", "/docs/initializer.js"])
async def test_the_policy_allows_our_own_origin_alone(service: Service, path: str) -> None:
    """No inline script, style or eval."""
    headers = (await service.client.get(path)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))

    assert policy["default-src"] == "'none'"
    assert {name: policy[name] for name in ("script-src", "style-src", "connect-src")} == {
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
    }
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_a_browser_that_has_a_file_is_not_sent_it_again(service: Service) -> None:
    """It asks with the ETag, so that an upgrade shows at once."""
    first = await service.client.get("/docs/swagger-ui-bundle.js")
    again = await service.client.get("/docs/swagger-ui-bundle.js", headers={"if-none-match": first.headers["etag"]})

    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")


@pytest.mark.parametrize(
    "path", ["/docs/nothing", "/docs/../openapi.py", "/docs/%2e%2e/openapi.py", "/docs/%00", "/docs/" + "x" * 5000]
)
async def test_nothing_else_is_served(service: Service, path: str) -> None:
    answer = await service.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_the_page_cannot_be_written_to(service: Service) -> None:
    assert (await service.client.post("/docs")).status_code == 405
    assert (await service.client.post("/docs/initializer.js")).status_code == 405


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(on_dry_run=[ReplayCount(counts={"queued": 3}, sample=("lead-17",))])


@pytest.fixture
def address(store: FakeStore) -> Iterator[str]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(store=store)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def tab() -> Iterator[Tab]:
    with chromium() as browser, browser.tab() as tab:
        yield tab


def test_a_person_can_read_and_try_the_api_in_a_browser(tab: Tab, address: str, store: FakeStore) -> None:
    """With a token, offline, with no request to another origin and nothing that the policy forbids."""
    page = tab.page
    page.goto(f"{address}/docs")
    page.click(".btn.authorize")
    page.fill(".auth-container input", ADMIN)
    page.click(".auth-btn-wrapper .authorize")
    page.click(".btn-done")
    page.click("#operations-Replay-replay .opblock-summary-control")
    page.wait_for_selector("#operations-Replay-replay .opblock-description pre:has-text('curl -H @- ')")
    page.click("#operations-Replay-replay .try-out__btn")
    page.click("#operations-Replay-replay .execute")
    page.wait_for_selector(".live-responses-table .response-col_status:has-text('200')")

    assert [call[0] for call in store.calls] == ["dry_run"]
    assert f"{address}/replay" in tab.requests
    assert [url for url in tab.requests if not url.startswith((f"{address}/", "data:"))] == []
    assert tab.complaints() == []
