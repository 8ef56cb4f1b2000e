"""The console in Chromium, on a real project: pages and actions, with and without JavaScript, for admins and readers.

One project and one browser for all tests of this file. With LEADHOOK_RENEW=1 the screenshots in docs/ are renewed.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
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
PREVIEWS = [
    "/console/pause",
    "/console/resume",
    "/console/budget?daily_usd=1",
    "/console/replay?state=done",
    "/console/release?limit=2",
    "/console/key?fingerprint={key}",
]
RESTING_KEY = "visibly-fake-resting-key"
OFFERS = """(html) => {
  const page = html ? new DOMParser().parseFromString(html, "text/html") : document;
  const links = [...page.querySelectorAll("main a")].filter((link) => link.textContent.includes("…"));
  return [...page.querySelectorAll("main form[method=post]"), ...links].map((one) => one.outerHTML);
}"""
"""The ways to an action that a page offers: this one, without what its scripts did, or the one that is shown."""
HOSTILE = (
    '"><script>document.title="hacked"</script><img src=x onerror=\'document.title="hacked"\'> \u202eevil ' + "w" * 400
)


@dataclass
class Steps:
    """A page, and how often something was clicked on it."""

    page: Page
    clicks: int = 0

    def click(self, selector: str) -> None:
        self.page.click(selector)
        self.clicks += 1

    def act(self, button: str, reason: str) -> None:
        """Give the reason that every action asks for, and press its button."""
        self.page.fill("#reason", reason)
        self.click(f"main button:has-text('{button}')")

    @property
    def text(self) -> str:
        return str(self.page.inner_text("main"))


@dataclass
class Console:
    """A project with answered, failed and held leads, and a browser."""

    project: Project
    browser: Browser
    answered: str
    failed: tuple[str, ...]
    key: str
    exits: ExitStack
    signed: dict[tuple[str, bool], Tab] = field(default_factory=dict)
    """Tabs of those who have signed in, by token and whether scripts run."""

    @property
    def url(self) -> str:
        return str(self.project.facts["service_url"])

    @property
    def admin(self) -> str:
        return str(self.project.facts["admin_token"])

    @contextmanager
    def tab(self, **context: Any) -> Iterator[Tab]:
        """A tab with a fresh profile; afterwards nothing was forbidden, and no other origin was asked."""
        context = {"base_url": self.url} | context
        with self.browser.tab(**context) as tab:
            yield tab
            assert_undisturbed(tab, context["base_url"])

    @contextmanager
    def signed_in(self, token: str | None = None, *, java_script: bool = True) -> Iterator[Tab]:
        """The tab of someone who has signed in before, with the same promise; a new profile takes a second of CPU."""
        token = token or self.admin
        tab = self.signed.get((token, java_script))
        if tab is None:
            tab = self.exits.enter_context(self.browser.tab(base_url=self.url, java_script_enabled=java_script))
            sign_in(tab.page, token)
            self.signed[token, java_script] = tab
        tab.page.set_viewport_size({"width": 1280, "height": 900})
        tab.page.emulate_media(color_scheme="light")
        tab.requests.clear()
        tab.errors.clear()
        tab.page.goto("/console")
        yield tab
        assert_undisturbed(tab, self.url, java_script=java_script)

    @property
    def every_page(self) -> list[str]:
        """The pages and previews, with those of one lead."""
        leads = [f"/console/lead?id={lead}" for lead in (self.answered, self.failed[0])]
        return [*PAGES, *(path.format(key=self.key) for path in PREVIEWS), *leads]


def assert_undisturbed(tab: Tab, origin: str, *, java_script: bool = True) -> None:
    """Nothing was forbidden, and no other origin was asked."""
    assert [url for url in tab.requests if not url.startswith(f"{origin}/")] == []
    if java_script:
        assert tab.complaints() == []


def sign_in(page: Page, token: str) -> None:
    page.goto("/console")
    page.fill("#token", token)
    page.press("#token", "Enter")
    page.wait_for_selector("nav")


@pytest.fixture(scope="module")
def console(model: Any) -> Iterator[Console]:
    """The sample is answered; two leads are refused by the model's filter; hostile text in each field; a key rests."""
    model.order({"match": {"lead": "Blocked person"}, "do": {"block": "SAFETY"}})
    settings = {"ADMIN_READONLY_TOKENS": READER, "SWEEP_INTERVAL_SEC": "3600"}
    with chromium() as browser, local_project("--no-sample", model=model, **settings) as project, ExitStack() as exits:
        answered = insert_sample(project.facts["database_url"]).lead_ids
        failed = project.bring(["blocked-a", "blocked-b"], name="Blocked person", company_name="Blocked & Sons")
        hostile = project.bring(
            ["hostile"], project.new_group(tag=HOSTILE), name=HOSTILE, company_name=HOSTILE, bio=HOSTILE
        )
        project.wait_for_answers([*answered, *hostile], logs=project.tail)
        poll(lambda: {job[0] for job in project.jobs(failed).values()} == {"dead"}, project.tail)
        project.run("insert into public.gemini_api (api_key) values (%s)", RESTING_KEY)
        key = project.value("select leadhook.key_fingerprint(%s)", RESTING_KEY)
        hold(project, 4)
        rest(project, key)
        yield Console(project, browser, "marek-nowak", tuple(failed), key, exits)


def hold(project: Project, leads: int) -> list[str]:
    """Leads from before the installation, and from before its triggers."""
    project.run("set session_replication_role = replica")
    group = project.new_group(tag="backlog")
    ids = project.bring(leads, group)
    project.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state, low_priority, source)"
        " select i, %s, %s, 'held', true, 'sweep' from unnest(%s::text[]) as i",
        *group,
        ids,
    )
    project.run("reset session_replication_role")
    return ids


def rest(project: Project, key: str) -> None:
    """Google has refused this key."""
    project.run(
        "insert into leadhook.api_keys (fingerprint, state, reason, rests) values (%s, 'disabled', 'a test', 1)"
        " on conflict (fingerprint) do update set state = 'disabled', reason = excluded.reason",
        key,
    )


GROUP_OF = "select user_id from leadhook.jobs where lead_id = %s"


def overflows(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def test_every_page_fits_and_is_accessible(console: Console) -> None:
    axe = (package("axe-core") / "axe.min.js").read_text()
    ways: list[tuple[int, Any, str]] = [(1280, "light", ""), (360, "dark", "{runOnly: ['color-contrast']}")]
    with console.signed_in() as tab:
        page = tab.page
        sent = f"/console/lead/sent?id={console.answered}"
        for path in [*console.every_page, sent, "/console/lead?id=hostile"]:
            page.goto(path)
            page.evaluate(axe)
            for width, scheme, rules in ways:
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=scheme)
                found = page.evaluate(f"axe.run({rules}).then((found) => found.violations)")
                serious = [one["id"] for one in found if one["impact"] in ("serious", "critical")]
                assert (path, width, serious, overflows(page)) == (path, width, [], 0)
            assert "hacked" not in page.title(), path


@pytest.mark.parametrize("java_script", [True, False], ids=["scripts", "no scripts"])
def test_an_admin_acts(console: Console, *, java_script: bool) -> None:
    rest(console.project, console.key)
    held = hold(console.project, 2)
    with console.signed_in(java_script=java_script) as tab:
        page, steps = tab.page, Steps(tab.page)

        page.click("nav >> text=Pauses")
        page.click("text=Show what would wait")
        steps.act("Pause", "a wrong prompt")
        assert page.inner_text("main .banner").count("a wrong prompt") == 1

        page.goto(f"/console/lead?id={console.answered}")
        page.click("main >> text=Replay")
        assert "1 lead would be scored again" in steps.text
        steps.act("Replay 1 lead", "a better prompt")
        page.wait_for_url("**/console/replays/*")
        page.click("main a:text-is('Stop')")
        steps.act("Stop replay", "it was not better")
        page.wait_for_selector("h1:has-text('stopped')")

        page.click("nav >> text=Backlog")
        row = page.locator("main tr", has_text=str(console.project.value(GROUP_OF, held[0])))
        row.get_by_text("Release…").click()
        assert "2 leads of user" in steps.text
        steps.act("Release 2 leads", "for the demo")
        page.wait_for_selector("text=Release in progress")
        assert "0 of 2 finished" in steps.text
        assert "for the demo" in steps.text

        page.click("nav >> text=Overview")
        assert "All work has been paused" in page.inner_text("main .banner")
        page.click("main .findings >> text=Pauses")
        page.click("text=Resume")
        steps.act("Resume", "the prompt was corrected")
        page.wait_for_selector("text=Nothing is paused")
        console.project.wait_for_answers(held, logs=console.project.tail)

        page.click("nav >> text=Keys")
        page.locator("main tr", has_text=console.key).get_by_text("Try again…").click()
        assert "is disabled: a test" in steps.text
        steps.act("Try it again now", "the bill is paid")
        page.wait_for_selector("h1:has-text('Gemini keys')")
        assert page.get_by_text("Try again…").count() == 0

        page.click("nav >> text=Budgets")
        page.fill("#daily_usd", "4")
        page.click("text=Show the consequences")
        steps.act("Change the budget", "this month's limit")
        assert "$4.00 a day" in page.inner_text("main .banner")
        page.click("main >> text=Remove")
        steps.act("Change the budget", HOSTILE[:300])
        page.wait_for_selector("text=There is no budget")

        page.click("nav >> text=Audit")
        audit = page.inner_text("main table")
        for reason in (
            "a wrong prompt",
            "a better prompt",
            "it was not better",
            "for the demo",
            "the prompt was corrected",
            "the bill is paid",
            "this month's limit",
            'document.title="hacked"',
        ):
            assert reason in audit, reason
        assert page.title() == "Audit · leadhook"


def test_a_reader_looks_and_changes_nothing(console: Console) -> None:
    with console.signed_in(READER) as tab:
        for path in console.every_page:
            served = tab.page.goto(path, wait_until="domcontentloaded")
            assert served is not None
            assert tab.page.evaluate(OFFERS, served.text()) == [], path
            assert tab.page.evaluate(OFFERS) == [], path
        refused = tab.page.goto(f"/console/lead/sent?id={console.answered}")
        assert refused is not None
        assert refused.status == 403
        tab.errors.clear()


def test_the_keyboard_is_enough_to_replay_all_that_failed_for_a_reason(console: Console) -> None:
    with console.tab() as tab:
        page = tab.page
        sign_in(page, console.admin)

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
    poll(lambda: {job[0] for job in console.project.jobs(console.failed).values()} == {"dead"}, console.project.tail)


def find_a_lead_by_its_company(console: Console, steps: Steps) -> None:
    """And see which prompt version made its score."""
    steps.click("nav >> text=Leads")
    steps.page.fill("#q", "wartapak")
    steps.click("text=Search")
    assert "1 lead" in steps.text
    assert "q=wartapak" in steps.page.url
    steps.click("main table >> text=Marek Nowak")
    version = console.project.value("select prompt_version from leadhook.results where lead_id = %s", console.answered)
    assert version in steps.text
    assert "Marek Nowak" in steps.page.inner_text("h1")


def see_who_paused_and_why(console: Console, steps: Steps) -> None:
    """From the overview, which says that work is paused."""
    console.project.run("select public.leadhook_pause(null, null, 'cli:ada', 'a wrong prompt')")
    try:
        steps.page.reload()
        steps.click("main .findings >> text=Pauses")
        assert "by cli:ada: a wrong prompt" in steps.text
    finally:
        console.project.run("select public.leadhook_resume(null, null, 'cli:ada')")


def see_what_a_release_will_cost(_console: Console, steps: Steps) -> None:
    steps.click("nav >> text=Backlog")
    steps.click("main tr:has-text('backlog') >> text=Release…")
    assert "would be queued" in steps.text
    assert "about $0.0" in steps.text


def see_what_replaying_an_error_code_will_cost_and_do_it(_console: Console, steps: Steps) -> None:
    steps.click("nav >> text=Failures")
    steps.click("main section:has-text('prompt_blocked') >> text=Replay all that match")
    assert "2 leads would be scored again" in steps.text
    assert "Forecast: about $" in steps.text
    steps.act("Replay 2 leads", "the filter was wrong")
    steps.page.wait_for_url("**/console/replays/*")


@pytest.mark.parametrize(
    "scenario",
    [
        find_a_lead_by_its_company,
        see_who_paused_and_why,
        see_what_a_release_will_cost,
        see_what_replaying_an_error_code_will_cost_and_do_it,
    ],
)
def test_what_people_ask_of_a_queue_takes_three_clicks(
    console: Console, scenario: Callable[[Console, Steps], None]
) -> None:
    with console.signed_in() as tab:
        steps = Steps(tab.page)
        scenario(console, steps)
        assert 1 <= steps.clicks <= 3
    poll(lambda: {job[0] for job in console.project.jobs(console.failed).values()} == {"dead"}, console.project.tail)


def test_someone_can_sign_in_over_plain_http(console: Console) -> None:
    """By a name for which browsers do not say which site a form comes from."""
    with console.tab(base_url=console.url.replace("127.0.0.1", "console.test")) as tab:
        sign_in(tab.page, console.admin)
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
    with console.signed_in() as tab:
        for name, (path, width, scheme) in shots.items():
            tab.page.set_viewport_size({"width": width, "height": 900})
            tab.page.emulate_media(color_scheme=scheme)
            tab.page.goto(path)
            tab.page.screenshot(path=directory / name)
