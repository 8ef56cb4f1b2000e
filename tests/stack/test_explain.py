"""`leadhook explain` and `leadhook status` through the real client, gateway and PostgREST: no service runs here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Supabase

USER = "00000000-0000-4000-8000-000000000001"


def explain(supabase: Supabase, *arguments: str, key: str | None = None) -> tuple[int, str, str]:
    """`leadhook explain`."""
    return run(supabase, "explain", *arguments, key=key)


def run(supabase: Supabase, *arguments: str, key: str | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command; a subprocess, as a person starts it."""
    settings = {"SUPABASE_URL": supabase.url, "SUPABASE_SECRET_KEY": key or supabase.secret_key}
    done = subprocess.run(
        [sys.executable, "-m", "leadhook", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")} | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def lead_id(wired_supabase: Supabase) -> str:
    """A lead without a prompts row, whose id and tag are hostile."""
    lead_id = "a/'\"😀\x1b[2J"
    with wired_supabase.database.connect() as owner:
        owner.execute(
            "insert into all_leads (lead_id, user_id, tag, scrapped) values (%s, %s, E'\\x1b[31mred', true)",
            [lead_id, USER],
        )
        owner.execute("insert into lead_details (lead_id) values (%s)", [lead_id])
    return lead_id


def test_it_is_told_for_people_and_for_programs(wired_supabase: Supabase, lead_id: str) -> None:
    """The sentence, the parts, and no escape sequence of a stranger's; as JSON the same with all facts."""
    code, out, err = explain(wired_supabase, lead_id)
    assert (code, err) == (0, "")
    assert "there is no prompts row for user 00000000-0000-4000-8000-000000000001 and tag '\\x1b[31mred'" in out
    assert "NO   prompts has a row for its user and tag" in out
    assert "yes  all_leads.scrapped is true" in out
    assert "\x1b" not in out

    code, out, err = explain(wired_supabase, lead_id, "--json")
    found = json.loads(out)
    assert (code, found["lead_id"], found["why"], found["state"]) == (0, lead_id, "no_prompts", "untracked")


def test_what_it_can_not_tell_is_said_in_words(wired_supabase: Supabase) -> None:
    """An unknown lead; a key that may not ask; a database that is not migrated: exit 1, and what to do."""
    code, out, _ = explain(wired_supabase, "nobody")
    assert code == 1
    assert "public.all_leads has no row with this lead_id" in out

    code, _, err = explain(wired_supabase, "nobody", key=wired_supabase.publishable_key)
    assert code == 1
    assert err.startswith("leadhook: SUPABASE_SECRET_KEY holds a key of the role anon")

    with wired_supabase.database.connect() as owner:
        owner.execute("drop function public.leadhook_explain")
    code, out, err = explain(wired_supabase, "nobody")
    assert (code, out) == (1, "")
    assert err == (
        "leadhook: the function public.leadhook_explain is missing or older than this service: run `leadhook migrate`\n"
    )


def test_status_is_one_screen_and_says_what_keeps_leads_back(wired_supabase: Supabase) -> None:
    """Without a key nothing can be judged; with one, and a pause, the pause is what is left to tell."""
    code, out, err = run(wired_supabase, "status")
    assert (code, err) == (1, "")
    assert "public.gemini_api holds no API key" in out

    with wired_supabase.database.connect() as owner:
        owner.execute("insert into public.gemini_api (api_key) values ('visibly-fake-key')")
    code, out, err = run(wired_supabase, "status")
    assert (code, err, len(out.splitlines()) < 24) == (0, "", True)
    assert "Nothing keeps leads from being worked on." in out
    assert "1 of 1 usable, 1 of them untried" in out
    assert "0 waiting, 0 held, 0 ready" in out

    code, out, err = run(wired_supabase, "status", "--json")
    assert (code, json.loads(out)["keys"]["total"]) == (0, 1)
    assert run(wired_supabase, "status", key=wired_supabase.publishable_key)[0] == 1
