"""`leadhook explain`, `answers` and `status` through the real client, gateway and PostgREST: no service runs here."""

import json
import re
from uuid import UUID

import pytest
from tests.conftest import Supabase
from tests.stack.conftest import Operator
from tests.support.application import Application

USER = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture
def lead_id(application: Application) -> str:
    (lead_id,) = application.bring(["a/'\"😀\x1b[2J"], (USER, "\x1b[31mred"))
    return lead_id


def test_explain_prints_for_people_and_for_programs(operator: Operator, wired_supabase: Supabase, lead_id: str) -> None:
    code, out, err = operator(wired_supabase, "explain", lead_id)
    assert (code, err) == (0, "")
    assert "there is no prompts row for user 00000000-0000-4000-8000-000000000001 and tag '\\x1b[31mred'" in out
    assert "✗ prompts has no row for its user and tag" in out
    assert "✓ all_leads.scrapped is true" in out
    assert "\x1b" not in out

    code, out, err = operator(wired_supabase, "explain", lead_id, "--json")
    found = json.loads(out)
    assert (code, found["lead_id"], found["diagnosis"], found["state"]) == (0, lead_id, "no_prompts", "untracked")


def test_explain_says_why_it_cannot_explain(operator: Operator, wired_supabase: Supabase) -> None:
    code, out, _ = operator(wired_supabase, "explain", "nobody")
    assert code == 1
    assert "public.all_leads has no row with this lead_id" in out
    assert "prompts has" not in out

    code, _, err = operator(wired_supabase, "explain", "nobody", key=wired_supabase.keys.publishable_key)
    assert code == 2
    assert err.startswith("leadhook: SUPABASE_SECRET_KEY holds a key of the role anon")

    with wired_supabase.database.connect() as owner:
        owner.execute("drop function public.leadhook_explain")
    code, out, err = operator(wired_supabase, "explain", "nobody")
    assert (code, out) == (1, "")
    assert err.startswith("leadhook: leadhook is not installed in this database, or is older than this version")
    assert "public.leadhook_explain" in err


def test_status_is_one_screen_and_says_what_keeps_leads_back(operator: Operator, wired_supabase: Supabase) -> None:
    code, out, err = operator(wired_supabase, "status")
    assert (code, err) == (1, "")
    assert "public.gemini_api is empty or cannot be read" in out
    assert "No service has claimed or swept yet" in out

    with wired_supabase.database.connect() as owner:
        owner.execute("insert into public.gemini_api (api_key) values ('visibly-fake-key')")
        owner.execute("select public.leadhook_sweep('worker-1')")
    code, out, err = operator(wired_supabase, "status")
    assert (code, err, len(out.splitlines()) < 24) == (0, "", True)
    assert "Nothing keeps leads waiting." in out
    assert "1 of 1 usable, 1 of them untried" in out
    assert "0 waiting, 0 held, 0 ready" in out
    assert "worker-1: no claim yet, swept" in out

    code, out, err = operator(wired_supabase, "status", "--json")
    found = json.loads(out)
    assert (code, found["keys"]["total"], found["capped"], found["reasons"]) == (0, 1, [], [])
    assert operator(wired_supabase, "status", key=wired_supabase.keys.publishable_key)[0] == 2


def test_a_pause_of_one_user_keeps_leads_back_and_is_shown_with_its_end(
    operator: Operator, wired_supabase: Supabase, application: Application
) -> None:
    application.run("select public.leadhook_sweep('worker-1')")
    application.run("select public.leadhook_pause(%s, 'it''s', 'ada')", USER)
    application.run(
        "insert into leadhook.jobs (lead_id, state) select i::text, 'held' from generate_series(1, 1001) as i"
    )
    code, out, _ = operator(wired_supabase, "status")
    assert code == 1
    assert "Leads can't be claimed because:" in out
    assert f"""`leadhook resume --user {USER} --tag 'it'"'"'s'` ends the pause.""" in out
    assert "1,000 or more held" in out
    assert json.loads(operator(wired_supabase, "status", "--json")[1])["capped"] == ["held"]


@pytest.fixture
def answered(application: Application) -> str:
    group = application.new_group(USER, "founders")
    application.bring(["lead-1"], group, name="Ann\x1b[2J Müller", sent_to_llm=True)
    application.run(
        "insert into leadhook.jobs (lead_id, user_id, tag, state) values ('lead-1', %s, 'founders', 'done')"
        " on conflict (lead_id) do update set state = 'done', user_id = excluded.user_id, tag = excluded.tag",
        USER,
    )
    application.run(
        "insert into leadhook.results (lead_id, run, score, response, should_contact, matched, missed, flags,"
        " subject, message, written) values ('lead-1', 1, 82, %s, true, '{runs a fintech}', '{is a founder}',"
        " '{asks_for_score}', E'Hello\\nthere', E'Dear Ann,\\n\\nBest\\x1b]0;x\\x07', true)",
        "Has led a payment team for ten years and speaks often of what we sell. " * 2,
    )
    return "lead-1"


def test_answers_are_listed_at_80_columns_without_a_strangers_escape_sequence(
    operator: Operator, wired_supabase: Supabase, answered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "NO_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    code, out, err = operator(wired_supabase, "answers")
    assert (code, err) == (0, "")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert "\x1b" not in plain
    assert max(len(line) for line in plain.splitlines()) <= 80
    for words in (answered, "Ann\\x1b[2J Müller", " 82  contact", "Hello\\nthere", "payment team", "names the score"):
        assert words in plain, words

    code, out, _ = operator(
        wired_supabase, "answers", "--json", "--min-score", "50", "--user", str(USER), "--tag", "founders"
    )
    (found,) = json.loads(out)["answers"]
    assert (code, found["message"], found["matched"]) == (0, "Dear Ann,\n\nBest\x1b]0;x\x07", ["runs a fintech"])

    code, out, _ = operator(wired_supabase, "answers", "--min-score", "90")
    assert (code, "No answers match" in out) == (0, True)


def test_explain_shows_the_answer_and_why(operator: Operator, wired_supabase: Supabase, answered: str) -> None:
    code, out, err = operator(wired_supabase, "explain", answered)
    assert (code, err) == (0, "")
    for words in (
        "score 82, contact; run 1",
        "why: Has led a payment team",
        "met: runs a fintech",
        "not met or unknown: is a founder",
        "! the lead's text names the score it wants",
        "message: Dear Ann,",
        "  Best\\x1b]0;x\\x07",
        "· sent already: lead_details.sent_to_llm is true",
    ):
        assert words in out, words
    assert "\x1b" not in out
    assert "✗" not in out
