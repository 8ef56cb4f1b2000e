"""The page of docs/answers.md, taken from the page, runs in a browser: a user presses run and reads the answers.

Chromium, supabase-js, PostgREST, the gateway and the service are the real ones; sign-in is not there, so the client is
given a signed-in user's token.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from tests.browser import chromium
from tests.docs_blocks import block
from tests.support.names import new_ids
from tests.support.npm import package
from tests.support.project import Project

PAGE: Final = "docs/answers.md"
REFUSED: Final = "42501"
TEXTS: Final = {"company": "We make pumps.", "criteria": "Directors of pump makers", "message": "Be brief."}

HTML: Final = """<!doctype html><title>answers</title>
<script type="importmap">{"imports": {"@supabase/supabase-js": "/supabase-js.mjs"}}</script>
<script src="/supabase.js"></script>"""
SUPABASE_JS: Final = "export const { createClient } = globalThis.supabase;"
"""As a bundler resolves the package: the real bundle from npm."""


@pytest.fixture(scope="module", autouse=True)
def policies(stack: Project) -> None:
    """Those of the page open tables to signed-in users."""
    stack.run(block(PAGE, "What is safe in a browser", "sql"))


@pytest.fixture(scope="module")
def bundle() -> str:
    """supabase-js for browsers."""
    return (package("@supabase/supabase-js") / "dist/umd/supabase.js").read_text()


class Site(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def site(directory: Path) -> Iterator[str]:
    """Serve this directory on this machine during the block; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, directory=directory))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Browse = Callable[[str], Any]
"""Opens the page afresh, runs this script in it, and returns what the script returns."""


@pytest.fixture(scope="module")
def browse(bundle: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browse]:
    """One browser for the tests of this file, with the page's module as `page`."""
    directory = tmp_path_factory.mktemp("site")
    (directory / "index.html").write_text(HTML)
    (directory / "supabase.js").write_text(bundle)
    (directory / "supabase-js.mjs").write_text(SUPABASE_JS)
    (directory / "page.mjs").write_text(block(PAGE, "The page's code", "js"))
    with chromium() as browser, browser.tab() as tab, site(directory) as url:

        def browse(script: str) -> Any:
            tab.page.goto(url)
            return tab.page.evaluate(f"async () => {{ const page = await import('/page.mjs'); {script} }}")

        yield browse


def connection(stack: Project, user: uuid.UUID | None) -> str:
    """JavaScript that makes the client `supabase`: of a signed-in user, or of a stranger with the publishable key."""
    given = f"{json.dumps(stack.facts['supabase_url'])}, {json.dumps(stack.keys.publishable_key)}"
    if user is None:
        return f"const supabase = page.connect({given});"
    return f"const supabase = page.connect({given}, {{accessToken: async () => {json.dumps(stack.signed_in(user))}}});"


def test_a_user_presses_run_and_reads_the_answers(browse: Browse, stack: Project) -> None:
    user, tag = uuid.uuid4(), "pumps"
    leads = new_ids(2)
    stack.bring(leads, (user, tag))
    found = browse(
        f"""{connection(stack, user)}
        const before = await page.progress(supabase, {json.dumps(tag)});
        await page.run(supabase, {json.dumps(str(user))}, {json.dumps(tag)}, {json.dumps(TEXTS)});
        let now;
        do {{
          await new Promise((resolve) => setTimeout(resolve, 100));
          now = await page.progress(supabase, {json.dumps(tag)});
        }} while (now.answered < now.leads);
        return {{before, now, answers: await page.answers(supabase, {json.dumps(tag)})}};"""
    )
    assert (found["before"], found["now"]) == ({"answered": 0, "leads": 2}, {"answered": 2, "leads": 2})
    assert {answer["lead_id"] for answer in found["answers"]} == set(leads)
    assert all(answer["response"] and answer["subject"] and answer["message"] for answer in found["answers"])


def test_a_user_sees_and_starts_nothing_of_another(browse: Browse, stack: Project) -> None:
    user, tag = uuid.uuid4(), "private"
    (lead,) = new_ids(1)
    stack.bring([lead], (user, tag))
    stack.run("insert into public.llm_response (lead_id, tag, name, score) values (%s, %s, 'Jane Doe', 90)", lead, tag)
    look = f"""
        const code = (error) => error.code;
        const read = await page.answers(supabase, {json.dumps(tag)}).then((rows) => rows.length, code);
        const run = await page.run(supabase, {json.dumps(str(user))}, {json.dumps(tag)}, {{}}).then(() => "done", code);
        return {{read, run}};"""
    people = {"owner": user, "other": uuid.uuid4(), "stranger": None}
    found = {name: browse(connection(stack, who) + look) for name, who in people.items()}
    assert found == {
        "owner": {"read": 1, "run": "done"},
        "other": {"read": 0, "run": REFUSED},
        "stranger": {"read": REFUSED, "run": REFUSED},
    }
