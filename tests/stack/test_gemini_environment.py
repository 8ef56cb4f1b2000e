"""The Gemini backend is ours: no variable of another program changes where a call goes or whose key it carries."""

import asyncio
import functools
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from aiohttp import web
from tests.stack.google import KEY, LEAD, PROMPTS, SECRET, Google, standing_in

from leadhook.gemini import open_scorer

ASK = """
import asyncio, sys
from tests.stack.google import KEY, LEAD, PROMPTS
from leadhook.gemini import open_scorer
async def main():
    async with open_scorer(model="gemini-3.5-flash-lite", base_url=sys.argv[1]) as scorer:
        await scorer.score(LEAD, PROMPTS, KEY)
asyncio.run(main())
"""
ROOT = Path(__file__).parents[2]
NAMED = {
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_USE_ENTERPRISE": "true",
    "GOOGLE_CLOUD_PROJECT": "other-project",
    "GOOGLE_CLOUD_LOCATION": "us-central1",
    "GOOGLE_API_KEY": "key-of-another-program",
    "GEMINI_API_KEY": "another-key-of-another-program",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent/credentials.json",
    "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9",
    "GOOGLE_VERTEX_BASE_URL": "http://127.0.0.1:9",
    "GOOGLE_GENAI_CLIENT_MODE": "replay",
    "GOOGLE_GENAI_REPLAYS_DIRECTORY": "/nonexistent",
    "GOOGLE_GENAI_REPLAY_ID": "replay",
    "GOOGLE_GENAI_HTTP_CLIENT": "httpx2",
    "LANGSMITH_TRACING": "true",
    "LANGCHAIN_TRACING_V2": "true",
    "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
    "LANGSMITH_API_KEY": "key-of-langsmith",
}
SDKS = ("google.genai", "google.auth", "langchain_google_genai")
READ = re.compile(r"""(?:environ(?:\.get)?|getenv|from_env)\s*[\[(]+\s*["']([A-Z][A-Z0-9_]+)["']""")
NAMES = re.compile(r"""^[A-Z_]+ = ["']([A-Z][A-Z0-9_]+)["']""", re.MULTILINE)
"""How google.auth keeps the names that it reads."""
CHECKED_AT_THE_START = {"SSL_CERT_FILE", "SSL_CERT_DIR"}


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    """A stand-in on its own port."""
    async with standing_in() as google:
        yield google


@functools.cache
def read_by_the_sdks() -> set[str]:
    """Every variable whose name stands in their code."""
    found: set[str] = set()
    for sdk in SDKS:
        spec = find_spec(sdk)
        assert spec is not None
        for folder in spec.submodule_search_locations or ():
            for file in Path(folder).rglob("*.py"):
                text = file.read_text(encoding="utf-8")
                found.update(READ.findall(text))
                if file.name == "environment_vars.py":
                    found.update(NAMES.findall(text))
    return found - CHECKED_AT_THE_START


async def ask(google_url: str, variables: dict[str, str]) -> None:
    """One score by its own process with these variables."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASK, google_url,
        cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | variables,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.mark.parametrize("value", ["1", "/nonexistent"])
async def test_no_variable_that_the_sdks_read_leads_a_call_astray(google: Google, value: str) -> None:
    """All that stand in their code are set at once."""
    assert {"GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS"} <= read_by_the_sdks()

    await ask(google.url, dict.fromkeys(read_by_the_sdks(), value))

    assert len(await google.calls()) == 1


async def test_a_call_carries_the_leads_key_and_nothing_of_the_machine(tmp_path: Path) -> None:
    """Neither a key of the environment nor a login of ~/.netrc: variables known to be dangerous have such values."""
    seen: list[web.Request] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(request)
        answer = {"MATCHED": [], "MISSED": [], "RESPONSE": "No.", "SCORE": 1, "SHOULD_CONTACT": 0}
        part = {"content": {"role": "model", "parts": [{"text": json.dumps(answer)}]}, "finishReason": "STOP"}
        return web.json_response({"candidates": [part]})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", note)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password hunter2\n")
    netrc.chmod(0o600)
    try:
        variables = dict.fromkeys(read_by_the_sdks(), "true") | NAMED | {"NETRC": str(netrc)}
        await ask(f"http://127.0.0.1:{runner.addresses[0][1]}", variables)
    finally:
        await runner.cleanup()

    (request,) = seen
    assert request.headers.getall("x-goog-api-key") == [SECRET]
    assert "Authorization" not in request.headers
    assert request.path == "/v1beta/models/gemini-3.5-flash-lite:generateContent"


async def test_a_call_goes_through_the_proxy_of_the_environment(
    google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ALL_PROXY too, which the SDK ignores; what NO_PROXY exempts goes directly, also by a network's address."""
    monkeypatch.setattr(os, "environ", {"ALL_PROXY": google.url})
    await ask_here("http://gemini.test")
    exempt = "fd00:b5::/64,[::1],127.0.0.0/8"
    monkeypatch.setattr(os, "environ", {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": exempt})
    await ask_here(google.url)
    assert len(await google.calls()) == 2


async def ask_here(google_url: str) -> None:
    """One score by this process: a client reads these variables when it is made."""
    async with open_scorer(model="gemini-3.5-flash-lite", base_url=google_url) as scorer:
        await scorer.score(LEAD, PROMPTS, KEY)


async def test_the_sdks_make_no_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would load all certificates again, by its own rules."""
    made: list[dict[str, object]] = []
    monkeypatch.setattr(ssl, "create_default_context", lambda **given: made.append(given))
    async with open_scorer(model="gemini-3.5-flash-lite", base_url=None):
        assert made == []
