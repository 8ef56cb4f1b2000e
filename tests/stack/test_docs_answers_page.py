"""The page of docs/answers.md, taken from the page, runs in a browser: a user presses run and reads the answers.

Chromium, supabase-js, PostgREST, the gateway and the service are the real ones; sign-in is not there, so the client is
given a signed-in user's token.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import jwt
import pytest
from tests.browser import chromium
from tests.docs_blocks import block
from tests.support.names import new_ids
from tests.support.npm import package
from tests.support.project import Project

from leadhook.local.keys import keys_of

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


class Site(BaseHTTPRequestHandler):
    def __init__(self, files: dict[str, str], *args: Any) -> None:
        self.files = files
        super().__init__(*args)

    def do_GET(self) -> None:
        text = self.files.get(self.path)
        body = (text or "").encode()
        self.send_response(404 if text is None else 200)
        kind = "text/html" if self.path == "/" else "text/javascript"
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def site(files: dict[str, str]) -> Iterator[str]:
    """Serve these files on this machine during the block; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, files))
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
def browse(bundle: str) -> Iterator[Browse]:
    """One browser for the tests of this file, with the page's module as `page`."""
    files = {
        "/": HTML,
        "/supabase.js": bundle,
        "/supabase-js.mjs": SUPABASE_JS,
        "/page.mjs": block(PAGE, "The page's code", "js"),
    }
    with chromium() as browser, browser.tab() as tab, site(files) as url:

        def browse(script: str) -> Any:
            tab.page.goto(url)
            return tab.page.evaluate(f"async () => {{ const page = await import('/page.mjs'); {script} }}")

        yield browse


def connection(stack: Project, user: uuid.UUID | None) -> str:
    """JavaScript that makes the client `supabase`: of a signed-in user, or of a stranger with the publishable key."""
    keys = keys_of(stack.directory / "secrets.json")
    given = f"{json.dumps(stack.facts['supabase_url'])}, {json.dumps(keys.publishable_key)}"
    if user is None:
        return f"const supabase = page.connect({given});"
    claims = {"sub": str(user), "role": "authenticated", "exp": int(time.time()) + 3600}
    token = jwt.encode(claims, keys.jwt_secret, "HS256")
    return f"const supabase = page.connect({given}, {{accessToken: async () => {json.dumps(token)}}});"


def test_a_user_presses_run_and_reads_the_answers(browse: Browse, stack: Project) -> None:
    """Two leads wait; the page inserts a prompts row, counts until both are answered, and lists them."""
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
    """The policies: a stranger and another user read no row, and no one presses run for someone else."""
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
