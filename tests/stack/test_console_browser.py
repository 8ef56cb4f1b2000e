"""The console in Chromium, on a real project: pages and actions, with and without JavaScript, for admins and readers.

One project and one browser for all tests of this file. With LEADHOOK_RENEW=1 the screenshots in docs/ are renewed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from tests.browser import Browser, Tab, chromium
from tests.conftest import ROOT, poll
from tests.support.npm import package
from tests.support.project import Project, local_project

from leadhook.local.sample import insert_sample

READER = "visibly-fake-reader-token"
PAGES = [
    "/console",
    "/console/leads",
    "/console/failures",
    "/console/replays",
    "/console/backlog",
    "/console/pauses",
    "/console/budgets",
    "/console/keys",
    "/console/webhooks",
    "/console/audit",
]
PREVIEWS = ["/console/pause", "/console/resume", "/console/budget?daily_usd=1", "/console/replay?state=done"]
HOSTILE = (
    '"><script>document.title="hacked"</script><img src=x onerror=\'document.title="hacked"\'> \u202eevil ' + "w" * 400
)


@dataclass(frozen=True)
class Console:
    """A project with answered and failed leads, and a browser."""

    project: Project
    browser: Browser
    answered: str
    failed: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The service's address."""
        return str(self.project.facts["service_url"])

    @contextmanager
    def signed_in(self, token: str | None = None, **context: Any) -> Iterator[Tab]:
        """A tab in which someone is signed in; afterwards nothing was forbidden, and no other origin was asked."""
        context = {"base_url": self.url} | context
        with self.browser.tab(**context) as tab:
            tab.page.goto("/console")
            tab.page.fill("#token", token or str(self.project.facts["admin_token"]))
            tab.page.press("#token", "Enter")
            tab.page.wait_for_selector("nav")
            yield tab
            assert [url for url in tab.requests if not url.startswith(f"{context['base_url']}/")] == []
            if context.get("java_script_enabled", True):
                assert tab.complaints() == []

    @property
    def every_page(self) -> list[str]:
        """The pages, with those of one lead."""
        leads = [f"/console/lead?id={lead}" for lead in (self.answered, self.failed[0])]
        return [*PAGES, *PREVIEWS, *leads, f"/console/lead/sent?id={self.answered}"]


@pytest.fixture(scope="module")
def console(model: Any) -> Iterator[Console]:
    """The sample is answered, two leads are refused by the model's filter, and one has hostile text in each field."""
    model.order({"match": {"lead": "Blocked person"}, "do": {"block": "SAFETY"}})
    settings = {"ADMIN_READONLY_TOKENS": READER, "SWEEP_INTERVAL_SEC": "3600"}
    with chromium() as browser, local_project("--no-sample", model=model, **settings) as project:
        answered = insert_sample(project.facts["database_url"]).lead_ids
        failed = project.bring(["blocked-a", "blocked-b"], name="Blocked person", company_name="Blocked & Sons")
        hostile = project.bring(
            ["hostile"], project.new_group(tag=HOSTILE), name=HOSTILE, company_name=HOSTILE, bio=HOSTILE
        )
        project.wait_for_answers([*answered, *hostile], logs=project.tail)
        poll(lambda: {job[0] for job in project.jobs(failed).values()} == {"dead"}, project.tail)
        yield Console(project, browser, "marek-nowak", tuple(failed))


def overflows(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_every_page_fits_and_is_accessible(console: Console, width: int, scheme: Any) -> None:
    """Axe finds nothing serious, nothing is cut off in either scheme, and the policy is kept."""
    axe = (package("axe-core") / "axe.min.js").read_text()
    with console.signed_in(viewport={"width": width, "height": 900}, color_scheme=scheme) as tab:
        for path in [*console.every_page, "/console/lead?id=hostile"]:
            tab.page.goto(path)
            tab.page.evaluate(axe)
            found = tab.page.evaluate("axe.run().then((found) => found.violations)")
            serious = [one["id"] for one in found if one["impact"] in ("serious", "critical")]
            assert (path, serious, overflows(tab.page)) == (path, [], 0)
            assert "hacked" not in tab.page.title(), path


@pytest.mark.parametrize("java_script", [True, False], ids=["scripts", "no scripts"])
def test_an_admin_acts(console: Console, *, java_script: bool) -> None:
    """Pauses and resumes, replays and stops, sets and removes a budget: each with its consequences and a reason."""
    with console.signed_in(java_script_enabled=java_script) as tab:
        page = tab.page

        reasons = []

        def act(button: str, reason: str) -> None:
            reasons.append(reason)
            page.fill("#reason", reason)
            page.click(f"main button:has-text('{button}')")

        page.click("nav >> text=Pauses")
        page.click("text=Show what would wait")
        act("Pause", "a wrong prompt")
        assert page.inner_text("main .banner").count("a wrong prompt") == 1

        page.goto(f"/console/lead?id={console.answered}")
        page.click("main >> text=Replay")
        assert "1 lead would be scored again" in page.inner_text("main")
        act("Replay 1 lead", "a better prompt")
        page.wait_for_url("**/console/replays/*")
        page.click("main a:text-is('Stop')")
        act("Stop replay", "it was not better")
        page.wait_for_selector("h1:has-text('stopped')")

        page.click("nav >> text=Overview")
        assert "All work is paused" in page.inner_text("main .banner")
        page.click("main .findings >> text=Pauses")
        page.click("text=Resume")
        act("Resume", "the prompt was corrected")
        page.wait_for_selector("text=Nothing is paused")

        page.click("nav >> text=Budgets")
        page.fill("#daily_usd", "4")
        page.click("text=Show the consequences")
        act("Change the budget", "this month's limit")
        assert "$4.00 a day" in page.inner_text("main .banner")
        page.click("main >> text=Remove")
        act("Change the budget", "no limit any more")
        page.wait_for_selector("text=There is no budget")

        page.click("nav >> text=Audit")
        audit = page.inner_text("main table")
        for reason in (
            "a wrong prompt",
            "the prompt was corrected",
            "this month's limit",
            "no limit any more",
            "a better prompt",
        ):
            assert reason in audit


def test_a_reader_looks_and_changes_nothing(console: Console) -> None:
    """No button but to sign out, and no page of what was sent."""
    with console.signed_in(READER) as tab:
        for path in console.every_page:
            if "/sent" in path:
                continue
            tab.page.goto(path)
            assert tab.page.locator("main form[method=post]").count() == 0, path


def test_the_keyboard_is_enough_to_replay_all_that_failed_for_a_reason(console: Console) -> None:
    """In three steps from the overview: failures, replay all that match, the button."""
    with console.signed_in() as tab:
        page = tab.page

        def enter(words: str) -> None:
            for _ in range(60):
                page.keyboard.press("Tab")
                if words in page.evaluate("document.activeElement.innerText || ''"):
                    page.keyboard.press("Enter")
                    return
            raise AssertionError(f"{words} can't be reached")

        enter("Failures")
        page.wait_for_selector("h1:has-text('Failures by reason')")
        assert "prompt_blocked" in page.inner_text("main")
        enter("Replay all that match")
        page.wait_for_selector("#reason")
        assert "2 leads would be scored again" in page.inner_text("main")
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "reason":
                break
        page.keyboard.type("the filter was wrong")
        enter("Replay 2 leads")
        page.wait_for_url("**/console/replays/*")
        assert "the filter was wrong" in page.inner_text("main")


def test_a_lead_is_found_by_its_company(console: Console) -> None:
    """And its page says which prompt version made the score."""
    with console.signed_in() as tab:
        tab.page.click("nav >> text=Leads")
        tab.page.fill("#q", "wartapak")
        tab.page.press("#q", "Enter")
        assert "1 lead" in tab.page.inner_text("main")
        assert "q=wartapak" in tab.page.url
        tab.page.click("main table >> text=Marek Nowak")
        version = console.project.value(
            "select prompt_version from leadhook.results where lead_id = %s", console.answered
        )
        assert version in tab.page.inner_text("main")


def test_someone_can_sign_in_over_plain_http(console: Console) -> None:
    """By a name for which browsers do not say which site a form comes from."""
    with console.signed_in(base_url=console.url.replace("127.0.0.1", "console.test")) as tab:
        tab.page.click("text=Sign out")
        tab.page.wait_for_selector("#token")


def test_a_hidden_tab_asks_nothing(console: Console) -> None:
    """The timer runs faster here than the page's own."""
    with console.signed_in() as tab:
        page = tab.page
        with page.expect_response("**/console/live"):
            page.evaluate("document.body.dispatchEvent(new Event('shown'))")
        page.evaluate("Object.defineProperty(document, 'hidden', {get: () => true})")
        before = len(tab.requests)
        page.evaluate("document.body.dispatchEvent(new Event('shown'))")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)))")
        assert tab.requests[before:] == []


def test_the_screenshots_of_the_docs_are_made(console: Console, tmp_path: Path) -> None:
    """Wide and narrow, light and dark; with LEADHOOK_RENEW they are kept."""
    lead = f"/console/lead?id={console.answered}"
    shots: dict[str, tuple[str, int, Any]] = {
        "console-overview.png": ("/console", 1280, "light"),
        "console-lead.png": (lead, 1280, "light"),
        "console-leads-dark.png": (
            "/console/leads?q=&score_min=50&user_id=3d6f0a52-7c1e-4b8e-9a44-6f1d2c9b7e10&tag=logistics-europe",
            1280,
            "dark",
        ),
        "console-narrow.png": ("/console", 360, "light"),
        "console-narrow-dark.png": (lead, 360, "dark"),
    }
    directory = ROOT / "docs" if "LEADHOOK_RENEW" in os.environ else tmp_path
    for name, (path, width, scheme) in shots.items():
        with console.signed_in(viewport={"width": width, "height": 900}, color_scheme=scheme) as tab:
            tab.page.goto(path)
            tab.page.screenshot(path=directory / name)
