"""The environment is checked as a whole, in words, and never repeated."""

import base64
import json
import secrets

import pytest
from pydantic import ValidationError
from tests.support.doc_tables import SERVICE_SETTINGS
from tests.support.settings import settings

from leadhook import advice
from leadhook.credentials import supabase_role, webhook_key
from leadhook.settings import Settings, SettingsError, load_settings


def whsec(size: int = 32) -> str:
    """A Standard Webhooks secret."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(size)).decode()


def jwt(role: str) -> str:
    """A JWT of Supabase's older kind; its signature is none."""
    claims = base64.urlsafe_b64encode(json.dumps({"iss": "supabase", "role": role}).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{claims}.{secrets.token_urlsafe(32)}"


def refused(**env: str) -> str:
    """The words with which these settings are refused."""
    with pytest.raises(SettingsError) as caught:
        settings(**env)
    return str(caught.value)


def test_defaults_are_those_of_the_documents() -> None:
    given = settings()

    assert (given.host, given.port, given.max_concurrency) == ("127.0.0.1", 8000, 16)
    assert (given.sweep_interval_sec, given.drain_sec, given.kill_timeout_sec) == (300, 45, 60)
    assert given.gemini_model == "gemini-3.5-flash-lite"
    assert given.gemini_base_url is None


def test_all_problems_are_named_at_once() -> None:
    env = {
        "SUPABASE_URL": "no url",
        "WEBHOOK_SECRETS": f"{whsec()}, {whsec(23)} secret-without-prefix whsec_!!!",
        "WEBHOOK_STATIC_HEADER": "no colon",
        "ADMIN_TOKENS": "long-enough-for-this,short",
        "PORT": "70000",
        "MAX_CONCURRENCY": "many",
        "DRAIN_SEC": "60",
        "GEMINI_BASE_URL": "ftp://example.com",
        "LOG_LEVEL": "loud",
    }
    with pytest.raises(SettingsError) as caught:
        load_settings(env)

    lines = [line.strip() for line in str(caught.value).splitlines()[1:-1]]
    assert [line.partition(":")[0] for line in lines] == [
        "SUPABASE_URL",
        "SUPABASE_SECRET_KEY",
        "WEBHOOK_SECRETS (no. 2)",
        "WEBHOOK_SECRETS (no. 3)",
        "WEBHOOK_SECRETS (no. 4)",
        "WEBHOOK_STATIC_HEADER",
        "ADMIN_TOKENS (no. 2)",
        "PORT",
        "MAX_CONCURRENCY",
        "KILL_TIMEOUT_SEC",
        "GEMINI_BASE_URL",
        "LOG_LEVEL",
    ]


def test_what_is_missing_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({})
    assert "SUPABASE_URL: is not set" in str(caught.value)
    assert "SUPABASE_SECRET_KEY: is not set" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK_SECRETS", "whsec_c2VjcmV0LW9mLXR3ZW50eQ=="),
        ("WEBHOOK_SECRETS", "whsec_not*base64*at*all"),
        ("WEBHOOK_STATIC_HEADER", "broken name: hunter2-hunter2"),
        ("WEBHOOK_STATIC_HEADER", "x-webhook: hunter2\r\nx-evil: hunter2"),
        ("WEBHOOK_STATIC_HEADER", "Webhook-Signature: hunter2"),
        ("HOST", "hunter2:8000"),
        ("HOST", "http://hunter2"),
        ("ADMIN_TOKENS", "hunter2"),
        ("SUPABASE_URL", "postgres://user:hunter2@host/db"),
        ("PORT", "hunter2"),
    ],
)
def test_no_problem_repeats_a_value(name: str, value: str) -> None:
    """A wrong value may still be a secret."""
    with pytest.raises(SettingsError) as caught:
        settings(**{name: value})

    chain: list[BaseException | None] = [caught.value, caught.value.__cause__]
    assert not any("hunter2" in str(error) or value in str(error) for error in chain)
    assert caught.value.__suppress_context__


def test_a_variable_set_to_nothing_counts_as_unset() -> None:
    """Compose files and dashboards leave empty variables behind."""
    assert settings(PORT="", GEMINI_BASE_URL="  ", ADMIN_TOKENS="").port == 8000


@pytest.mark.parametrize("path", ["", "/", "//", "/rest/v1", "/rest/v1/", "/rest/", "/auth/v1", "/graphql/v1"])
def test_what_the_dashboard_shows_behind_the_projects_address_is_left_out(path: str) -> None:
    assert settings(SUPABASE_URL=f"https://abc.supabase.co{path}").supabase_url == "https://abc.supabase.co"


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("SUPABASE_URL", "https://abc.supabase.co/rest/v1/", "https://abc.supabase.co"),
        ("SUPABASE_URL", "\ufeffhttps://abc.supabase.co/Rest/V1", "https://abc.supabase.co"),
        ("SUPABASE_URL", "https://abc.supabase.co\\", "https://abc.supabase.co"),
        ("SUPABASE_URL", "https://a\u200bbc.supabase.co", "https://abc.supabase.co"),
        ("SUPABASE_URL", "https://müller.example:443", "https://xn--mller-kva.example"),
        ("GEMINI_MODEL", "gemini-x\u200b ", "gemini-x"),
        ("PORT", "8001", 8001),
        ("HOST", "[::]", "::"),
        ("LOG_FORMAT", "console", "console"),
        ("CORS_ORIGINS", "https://a.example https://b.example", ("https://a.example", "https://b.example")),
    ],
)
@pytest.mark.parametrize("quotes", ["{}", '"{}"', " '{}' ", "\u201c{}\u201d"])
def test_quotes_around_a_value_do_not_belong_to_it(name: str, given: str, expected: object, quotes: str) -> None:
    """Docker's env files and web forms keep those that a shell takes away."""
    assert getattr(settings(**{name: quotes.format(given)}), name.lower()) == expected


def test_quotes_within_a_value_stay() -> None:
    """Only a pair around the whole is left out, and what is left may be nothing."""
    assert settings(GEMINI_MODEL='it\'s "x"').gemini_model == 'it\'s "x"'
    assert settings(GEMINI_BASE_URL='""').gemini_base_url is None


@pytest.mark.parametrize(
    "url",
    ["abc.supabase.co", "https://", "https://abc .supabase.co", "postgresql://postgres:hunter2@db.abc.supabase.co/x"],
)
def test_what_is_no_url_is_refused_with_one_that_is(url: str) -> None:
    with pytest.raises(SettingsError, match=r"SUPABASE_URL: must be .* like https://abc\.supabase\.co"):
        settings(SUPABASE_URL=url)


def test_the_address_of_the_database_itself_is_refused() -> None:
    """No REST API answers there."""
    with pytest.raises(SettingsError, match=r"SUPABASE_URL: names the database"):
        settings(SUPABASE_URL="https://db.abc.supabase.co")


@pytest.mark.parametrize("rest", ["/dashboard/project/abc", "/rest/v1/all_leads", "?apikey=hunter2", "/#x"])
def test_another_page_than_the_projects_address_is_refused(rest: str) -> None:
    """By name, at the start, rather than by a puzzling answer later."""
    with pytest.raises(SettingsError, match="SUPABASE_URL: must be the project's URL without a path"):
        settings(SUPABASE_URL=f"https://abc.supabase.co{rest}")


@pytest.mark.parametrize("name", ["SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY"])
@pytest.mark.parametrize("key", ["…", "sb_secret_hunter2…", "sb_secret hunter2", "sb_secret\nhunter2", "hünter2"])
def test_a_key_that_no_header_carries_is_a_wrong_setting(name: str, key: str) -> None:
    """The example's `…` among them; reported once, and never as a database that is too old."""
    with pytest.raises(SettingsError, match=f"{name}: contains characters that are not valid in a key") as caught:
        load_settings({"SUPABASE_URL": "http://x", name: key})
    assert "hunter2" not in str(caught.value)
    assert "leadhook migrate" not in str(caught.value)


def test_the_secret_key_wins_over_the_older_ones() -> None:
    names = ["SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY"]
    for first in range(3):
        env = {"SUPABASE_URL": "http://x", **{name: f"key-of-{name}" for name in names[first:]}}
        given = load_settings(env)

        assert given.supabase_key_name == names[first]
        assert given.supabase_key.get_secret_value() == f"key-of-{names[first]}"


@pytest.mark.parametrize(
    ("name", "key", "role"),
    [
        ("SUPABASE_ANON_KEY", jwt("anon"), "anon"),
        ("SUPABASE_ANON_KEY", "opaque", "anon"),
        ("SUPABASE_SERVICE_ROLE_KEY", jwt("authenticated"), "authenticated"),
        ("SUPABASE_SECRET_KEY", "sb_publishable_x", "anon"),
    ],
)
def test_a_key_that_may_not_do_the_work_is_explained(name: str, key: str, role: str) -> None:
    """The service starts, and knows why the database will refuse it."""
    problem = advice.key_problem(load_settings({"SUPABASE_URL": "http://x", name: key}))

    assert problem is not None
    assert f"{name} holds a key of the role {role}" in problem
    assert key not in problem


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("SUPABASE_SECRET_KEY", "sb_secret_x"),
        ("SUPABASE_SERVICE_ROLE_KEY", jwt("service_role")),
        ("SUPABASE_ANON_KEY", jwt("service_role")),
        ("SUPABASE_SECRET_KEY", "opaque"),
    ],
)
def test_a_key_that_may_do_the_work_has_no_problem(name: str, key: str) -> None:
    """What the key says of itself counts more than the variable's name."""
    assert advice.key_problem(load_settings({"SUPABASE_URL": "http://x", name: key})) is None


@pytest.mark.parametrize(
    "key", ["a.b.c", "a.####.c", f"a.{base64.urlsafe_b64encode(b'[1]').decode()}.c", "..", "é.é.é"]
)
def test_a_key_that_only_looks_like_a_jwt_has_no_role(key: str) -> None:
    assert supabase_role(key) is None


def test_several_webhook_secrets_may_be_separated_by_blanks_or_commas() -> None:
    """During a rotation the old and the new one are both accepted."""
    one, two, three = whsec(24), whsec(64), whsec().rstrip("=")
    given = settings(WEBHOOK_SECRETS=f" {one},{two}\n{three} ")

    assert given.webhook_keys == tuple(map(webhook_key, (one, two, three)))
    assert [len(key) for key in given.webhook_keys] == [24, 64, 32]


def test_the_static_header_is_read_as_name_and_value() -> None:
    header = settings(WEBHOOK_STATIC_HEADER="Authorization:  Bearer a:b c ").webhook_static_header

    assert header is not None
    assert (header.name, header.value.get_secret_value()) == ("authorization", "Bearer a:b c")


def test_the_drain_must_fit_into_the_kill_timeout() -> None:
    """DRAIN_SEC and the 8 s around it end before the platform kills."""
    assert settings(DRAIN_SEC="20", KILL_TIMEOUT_SEC="28.1").drain_sec == 20
    with pytest.raises(SettingsError, match="KILL_TIMEOUT_SEC: must be more than 28 s"):
        settings(DRAIN_SEC="20", KILL_TIMEOUT_SEC="28")


def test_polling_is_ignored_with_one_warning_that_names_the_sweep() -> None:
    """POLL_INTERVAL_SEC was the predecessor's; whatever it says is no error."""
    warnings = advice.warnings(settings(POLL_INTERVAL_SEC="often", WEBHOOK_SECRETS=whsec()))

    assert len(warnings) == 1
    assert "POLL_INTERVAL_SEC" in warnings[0]
    assert "SWEEP_INTERVAL_SEC" in warnings[0]


def test_without_a_webhook_secret_the_service_is_not_ready() -> None:
    """Every webhook would be refused; a static header is one, too."""
    (problem,) = advice.problems(settings())
    assert "leadhook webhooks install" in problem
    assert advice.problems(settings(WEBHOOK_SECRETS=whsec())) == []
    assert advice.problems(settings(WEBHOOK_STATIC_HEADER="x-webhook: visibly-fake")) == []


def test_settings_never_show_a_secret() -> None:
    env = {
        "SUPABASE_SERVICE_ROLE_KEY": "fake-hidden-1",
        "WEBHOOK_SECRETS": whsec(),
        "WEBHOOK_STATIC_HEADER": "x: fake-hidden-2",
        "ADMIN_TOKENS": "fake-hidden-3-long",
        "DATABASE_URL": "postgres://fake-hidden-4",
    }
    given = settings(**env)
    shown = f"{given!r} {given} {given.model_dump_json()}"

    assert len(given.secrets()) == 6
    assert not [secret for secret in given.secrets() if secret in shown]


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("postgresql://me:fake-pass%40word@host/db", "fake-pass@word"),
        ("postgresql://me:fake-[password@host/db", "postgresql://me:fake-[password@host/db"),
        ("postgresql://me:fake-[pass]#word@host/db", "fake-[pass]#word"),
        ("postgresql://me:fake@host/db?password=fake-secret", "fake-secret"),
        ("host=db.example password=fake-secret", "fake-secret"),
    ],
)
def test_the_password_of_the_database_is_hidden_however_it_is_written(url: str, secret: str) -> None:
    """Decoded, as a library may show it; an address that can't be parsed is hidden as a whole."""
    assert secret in settings(DATABASE_URL=url).secrets()


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        settings().port = 1


def test_every_setting_has_a_meaning() -> None:
    """The table of the documents is made of the class."""
    table = {row.name: row for row in SERVICE_SETTINGS}

    assert set(table) == {name.upper() for name in Settings.model_fields}
    assert all(row.meaning.endswith(".") for row in table.values())
    assert table["DRAIN_SEC"].default == "45"
    assert table["WEBHOOK_SECRETS"].default == ""


def test_the_process_environment_is_the_default_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "http://from-the-environment/")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "fake-key")

    assert load_settings().supabase_url == "http://from-the-environment"


def test_the_log_service_is_set_by_opentelemetrys_own_variables() -> None:
    """Those for logs alone win; the general endpoint gets its path; header values are percent-decoded."""
    given = settings(
        OTEL_EXPORTER_OTLP_ENDPOINT="https://otlp.example/otlp/",
        OTEL_EXPORTER_OTLP_HEADERS="a=1",
        OTEL_EXPORTER_OTLP_LOGS_HEADERS="Authorization=Basic%20visibly==, X-Scope=t",
        OTEL_EXPORTER_OTLP_LOGS_TIMEOUT="5000",
    )

    assert given.otlp_logs_url == "https://otlp.example/otlp/v1/logs"
    assert given.otlp_headers() == {"authorization": "Basic visibly==", "x-scope": "t"}
    assert given.otel_exporter_otlp_timeout == 5000
    assert {"Basic visibly==", "visibly=="} <= set(given.secrets())
    assert settings(OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="https://x/y").otlp_logs_url == "https://x/y"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LOG_SHIP", "syslog", "'none' or 'otlp'"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "no url", "URL"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "visibly-fake", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=visibly-fake%0d%0ab: c", "name=value"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10", "100"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "gzip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/visibly-fake.pem", "No such file"),
        ("LOG_FILE", "/dev/stdout", "stdout anyway"),
        ("LOG_FILE", "visibly" * 100, "too long"),
        ("ADMIN_TOKENS", "visibly-fake-tökén", "header"),
        ("METRICS_PORT", "70000", "65535"),
    ],
)
def test_a_wrong_setting_of_the_log_is_explained(name: str, value: str, words: str) -> None:
    said = refused(**{name: value})
    assert name in said
    assert words in said
    assert "visibly" not in said


def test_every_secret_is_known_to_the_log() -> None:
    """Also the password inside an address, and a header's value without its scheme."""
    given = settings(
        WEBHOOK_STATIC_HEADER="x-webhook: fake-static-value",
        ADMIN_TOKENS="fake-admin-token-1 fake-admin-token-2",
        DATABASE_URL="postgresql://me:fake-password@host/db",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20fake-ship-token",
    )

    assert {"visibly-fake-key", "fake-static-value", "fake-admin-token-1", "fake-admin-token-2", "fake-password",
            "fake-ship-token"} <= set(given.secrets())  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_URL", "http://user:visibly-fake@abc.supabase.co"),
        ("GEMINI_BASE_URL", "https://visibly-fake@proxy.example"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:visibly-fake@otlp.example"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://:visibly-fake@otlp.example/v1/logs"),
        ("ADMIN_TOKENS", "aaaaaaaaaaaaaaaa"),
        ("ADMIN_TOKENS", "visiblyvisibly00visiblyvisibly00"),
        ("ADMIN_TOKENS", "0101010101010110"),
        ("ADMIN_TOKENS", "1234567812345678"),
    ],
)
def test_credentials_in_a_url_and_guessable_tokens_are_refused(name: str, value: str) -> None:
    """By their names; a URL is logged and shown, and its password would be too."""
    said = refused(**{name: value})
    assert name in said
    assert "visibly" not in said


def test_a_token_that_may_only_look_is_not_also_one_that_may_act() -> None:
    """Someone who was given it to look could change everything."""
    both = "visibly-fake-token-of-both"
    with pytest.raises(SettingsError, match=r"ADMIN_READONLY_TOKENS: .* also one of ADMIN_TOKENS") as caught:
        settings(ADMIN_TOKENS=f"fake-admin-token-1 {both}", ADMIN_READONLY_TOKENS=both)
    assert "visibly" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "is_warned"),
    [
        ("SUPABASE_URL", "http://abc.supabase.co", True),
        ("SUPABASE_URL", "http://8.8.8.8:8000", True),
        ("SUPABASE_URL", "https://abc.supabase.co", False),
        ("SUPABASE_URL", "http://kong:8000", False),
        ("SUPABASE_URL", "http://10.0.0.5:8000", False),
        ("SUPABASE_URL", "http://[::1]:8000", False),
        ("SUPABASE_URL", "http://db.internal:8000", False),
        ("GEMINI_BASE_URL", "http://proxy.example", True),
        ("GEMINI_BASE_URL", "http://localhost:9000", False),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otlp.example", True),
    ],
)
def test_keys_that_would_travel_unencrypted_are_warned_of(name: str, value: str, is_warned: bool) -> None:  # noqa: FBT001 - a case
    """Not within the machine or a private network."""
    given = settings(**({"LOG_SHIP": "otlp", name: value} if name.startswith("OTEL") else {name: value}))
    assert any("unencrypted" in words for words in advice.warnings(given)) == is_warned


@pytest.mark.parametrize(
    "url",
    [
        "https://generativelanguage.googleapis.com/v1beta",
        "https://generativelanguage.googleapis.com/v1beta/models/",
        "https://generativelanguage.googleapis.com/v1",
        "https://generativelanguage.googleapis.com/",
    ],
)
def test_the_version_in_the_address_of_gemini_is_removed(url: str) -> None:
    """Google's client adds it; twice it would be found nowhere."""
    assert settings(GEMINI_BASE_URL=url).gemini_base_url == "https://generativelanguage.googleapis.com"
    assert settings(GEMINI_BASE_URL="https://p.example/gemini").gemini_base_url == "https://p.example/gemini"
