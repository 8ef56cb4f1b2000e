"""Headless Chromium for tests of the pages that the service serves."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE_S = 60
MISSING = "Chromium is not installed, so this page is NOT tested: `apt-get install chromium chromium-driver`"
ARGUMENTS = (
    "--headless=new",
    "--window-size=1280,1000",
    "--no-sandbox",  # it refuses to start as root otherwise
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # offline but for us
)
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event =>
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@dataclass(frozen=True)
class Browser:
    """A browser that remembers what its page asked for and complained of."""

    driver: Chrome

    def open(self, url: str) -> None:
        """Open a page."""
        self.driver.get(url)

    def find(self, selector: str, when: Callable[[WebElement], bool] = WebElement.is_displayed) -> WebElement:
        """The first element of this CSS selector for which it holds, once there is one."""

        def look(driver: Chrome) -> WebElement | None:
            return next((found for found in driver.find_elements(By.CSS_SELECTOR, selector) if when(found)), None)

        found = WebDriverWait(self.driver, PATIENCE_S).until(look, f"no {selector}")
        assert found is not None
        return found

    def click(self, selector: str) -> None:
        """Click it once it is there, wherever it is on the page."""
        self.driver.execute_script("arguments[0].click()", self.find(selector))

    def call(self, script: str) -> Any:
        """Run the body of an async function in the page; return what it returns, and fail if it throws."""
        self.driver.set_script_timeout(PATIENCE_S)
        reply = self.driver.execute_async_script(
            f"const done = arguments[0]; (async () => {{ {script} }})()"
            ".then((found) => done({found}), (error) => done({error: `${error.name} ${error.code} ${error.message}`}));"
        )
        assert "error" not in reply, reply["error"]
        return reply["found"]

    def requests(self) -> list[str]:
        """The addresses of all requests, but for those of the browser's own pages, since this was last called."""
        events = (json.loads(entry["message"])["message"] for entry in self._log("performance"))
        requests = (event["params"] for event in events if event["method"] == "Network.requestWillBeSent")
        return [one["request"]["url"] for one in requests if not one["documentURL"].startswith("chrome:")]

    def complaints(self) -> list[str]:
        """Violations of the page's Content-Security-Policy, and what the console shows as an error."""
        violations: list[str] = self.driver.execute_script("return window.violations")
        return violations + [entry["message"] for entry in self._log("browser") if entry["level"] == "SEVERE"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]  # selenium's
        return entries


@contextmanager
def chromium(directory: Path) -> Iterator[Browser]:
    """A fresh profile in this directory; skips the test where Chromium is missing."""
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip(MISSING)
    options = ChromeOptions()
    options.binary_location = program
    for argument in (*ARGUMENTS, f"--user-data-dir={directory}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chrome = Chrome(options, ChromeService(driver))
    try:
        chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LISTEN})
        yield Browser(chrome)
    finally:
        chrome.quit()
