"""What each refusal means, in words."""

import json

import pytest

from leadhook.store.errors import explain


def body(code: str | None, message: str = "words of the database") -> str:
    """PostgREST's."""
    return json.dumps({"code": code, "message": message, "details": "row with a lead's name", "hint": None})


@pytest.mark.parametrize(
    ("status", "text", "kind", "code", "words"),
    [
        (300, body("PGRST203"), "misconfigured", "PGRST203", "run `leadhook migrate`"),
        (404, body("PGRST202"), "misconfigured", "PGRST202", "run `leadhook install --url https://YOUR-SERVICE"),
        (404, body("42883"), "misconfigured", "42883", "public.leadhook_claim is missing"),
        (
            404,
            body("42883", "function leadhook.key_fingerprint(jsonb) does not exist"),
            "misconfigured",
            "42883",
            "can't work (function leadhook.key_fingerprint(jsonb) does not exist)",
        ),
        (404, body("42883", "operator does not exist: uuid = text"), "misconfigured", "42883", "uuid = text"),
        (503, body("PGRST001"), "unavailable", "PGRST001", "a trigger or function of the application"),
        (404, body("42P01"), "misconfigured", "42P01", "table or column"),
        (400, body("42703"), "misconfigured", "42703", "table or column"),
        (403, body("42501"), "misconfigured", "42501", "secret (service role) key"),
        (
            403,
            body("42501", 'query would be affected by row-level security policy for table "all_leads"'),
            "misconfigured",
            "42501",
            "alter role service_role bypassrls",
        ),
        (401, body("42501"), "misconfigured", "key_refused", "SUPABASE_SECRET_KEY"),
        (401, body("PGRST301", "JWT expired"), "misconfigured", "key_refused", "JWT expired"),
        (401, body("PGRST301", "Expected 3 parts in JWT; got 1"), "misconfigured", "key_not_translated", "API address"),
        (401, '{"message": "Invalid API key", "hint": "…"}', "misconfigured", "key_refused", "Invalid API key"),
        (406, body("PGRST106"), "misconfigured", "PGRST106", "exposed schemas"),
        (404, '{"message": "no Route matched"}', "misconfigured", "not_supabase", "SUPABASE_URL"),
        (404, "<html>not found</html>", "misconfigured", "not_supabase", "SUPABASE_URL"),
        (307, "", "misconfigured", "not_supabase", "HTTP 307"),
        (503, body("PGRST000"), "unavailable", "PGRST000", "words of the database"),
        (504, body("PGRST003"), "unavailable", "PGRST003", "words of the database"),
        (500, body("57014"), "unavailable", "57014", "took too long"),
        (500, body("40P01"), "unavailable", "40P01", "a deadlock"),
        (400, body("25006"), "unavailable", "25006", "it is read-only"),
        (400, body("57P01"), "unavailable", "57P01", "it is shutting down"),
        (502, "<html>Bad gateway</html>", "unavailable", "http_502", "HTTP 502"),
        (403, "<html>blocked</html>", "unavailable", "http_403", "HTTP 403"),
        (429, body("over_rate"), "unavailable", "http_429", "words of the database"),
        (403, '{"code": "blocked", "message": "no"}', "unavailable", "http_403", "a firewall, proxy or gateway"),
        (406, '{"code": 406}', "unavailable", "http_406", "allow these calls to SUPABASE_URL"),
        (540, "<html>Project paused</html>", "unavailable", "http_540", "project is paused"),
        (409, body("23505", "duplicate key"), "misconfigured", "23505", "run `leadhook migrate`"),
        (400, body("23514"), "misconfigured", "23514", "table of leadhook refuses a row"),
        (400, body("2200H"), "misconfigured", "2200H", "run `leadhook migrate`"),
        (400, body("0A000"), "misconfigured", "0A000", "leadhook doctor"),
        (400, body("42601"), "misconfigured", "42601", "leadhook doctor"),
        (400, body("PT400"), "caller_bug", "PT400", "refuses what it was sent"),
        (400, body("22P05"), "caller_bug", "22P05", "refuses what it was sent"),
        (400, "[]", "unavailable", "http_400", "HTTP 400"),
        (
            500,
            '{"code": "\\ud800", "message": "\\ud800a\\u001b[31m\\u0000\\u202eb"}',
            "unavailable",
            "http_500",
            "moment: a[31mb",
        ),
        (500, body("x" * 500), "unavailable", "http_500", "words of the database"),
        (500, '{"code": ["x"], "message": 1e400}', "unavailable", "http_500", "inf"),
    ],
)
def test_refusal_is_explained(status: int, text: str, kind: str, code: str, words: str) -> None:
    """By status, code and message together; the row's contents are never shown."""
    error = explain("leadhook_claim", status, text)
    assert (error.kind, error.code) == (kind, code)
    assert words in error.reason
    assert "lead's name" not in str(error)
    assert "<html>" not in str(error)


@pytest.mark.parametrize("code", ["P0001", "23514", "22P02", "42501", "42P01", "55000", "XX000", "0A000", "TRUST"])
def test_the_applications_own_words_are_not_quoted(code: str) -> None:
    """A trigger chooses text and SQLSTATE; the text is for the database alone."""
    error = explain("leadhook_save", 400, body(code, "cannot store Jane Doe, +49 170 1234567: Score 81"))
    assert "Jane" not in str(error)
    assert code in str(error)
    assert error.said == "cannot store Jane Doe, +49 170 1234567: Score 81"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("42501", "permission denied for table lead_details"),
        ("42501", "permission denied for function leadhook_claim"),
        ("42703", 'column "bio" does not exist'),
        ("42703", 'column "bio" of relation "lead_details" does not exist'),
        ("42703", "column d.bio does not exist"),
    ],
)
def test_postgres_own_words_about_the_schema_are_quoted(code: str, words: str) -> None:
    """They say what to correct."""
    assert words in explain("leadhook_claim", 400, body(code, words)).reason


def test_message_is_cut() -> None:
    error = explain("leadhook_claim", 400, body("PT400", "long\nwords " * 1000))
    assert len(error.reason) < 300
    assert "\n" not in error.reason


@pytest.mark.parametrize(
    ("status", "text", "may"),
    [
        (403, body("42501"), True),
        (400, body("XX000"), True),
        (500, body("57014"), True),
        (504, "", True),
        (409, body("23505"), False),
        (400, body("2200H"), False),
        (502, "", False),
        (503, body("PGRST001"), True),
        (503, body("PGRST002"), False),
        (404, body("PGRST202"), False),
        (401, body("PGRST301"), False),
    ],
)
def test_only_what_runs_with_a_write_may_concern_one_lead(status: int, text: str, may: bool) -> None:  # noqa: FBT001 - a parameter
    """The network, the gateway, the key and our own tables affect every lead."""
    assert explain("leadhook_save", status, text).may_concern_one_lead is may


@pytest.mark.parametrize(
    ("status", "text", "on_the_way"),
    [
        (400, "<html>Bad request</html>", True),
        (403, "<html>blocked</html>", True),
        (403, '{"code": "blocked"}', True),
        (413, "", True),
        (403, body("42501"), False),
        (429, "<html>too many</html>", False),
        (408, "", False),
        (502, "<html>Bad gateway</html>", False),
    ],
)
def test_only_a_refusal_that_is_not_the_databases_came_from_the_way(status: int, text: str, on_the_way: bool) -> None:  # noqa: FBT001 - a parameter
    """And not a limit on the rate of calls."""
    assert explain("leadhook_save", status, text).refused_on_the_way is on_the_way
