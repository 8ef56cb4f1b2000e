"""Headless Chromium for tests of the pages that the service serves."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, sync_playwright

PATIENCE_MS = 60_000
MISSING = "Chromium is not installed, so this page is NOT tested: `apt-get install chromium`"
ARGUMENTS = (
    "--no-sandbox",  # it refuses to start as root otherwise
    "--disable-dev-shm-usage",
    # Offline but for us; by a name that browsers do not trust without HTTPS, as they trust 127.0.0.1.
    "--host-resolver-rules=MAP console.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event =>
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@dataclass
class Tab:
    """A page that remembers what it asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    """The addresses of all requests."""
    errors: list[str] = field(default_factory=list)
    """What the console shows as an error, and exceptions of scripts."""

    def complaints(self) -> list[str]:
        """Those errors, and violations of the page's Content-Security-Policy."""
        violations: list[str] = self.page.evaluate("window.violations || []")
        return violations + self.errors


@dataclass
class Browser:
    chromium: Chromium

    @contextmanager
    def tab(self, **context: Any) -> Iterator[Tab]:
        """Open a page with a fresh profile; the arguments are those of Playwright's `new_context`."""
        fresh = self.chromium.new_context(**context)
        fresh.set_default_timeout(PATIENCE_MS)
        fresh.add_init_script(LISTEN)
        tab = Tab(fresh.new_page())
        tab.page.on("request", lambda request: tab.requests.append(request.url))
        tab.page.on("console", lambda line: tab.errors.append(line.text) if line.type == "error" else None)
        tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
        try:
            yield tab
        finally:
            fresh.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Chromium of the system; skips the test where it is missing."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip(reason=MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield Browser(browser)
        finally:
            browser.close()
