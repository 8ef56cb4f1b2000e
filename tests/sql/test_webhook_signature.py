"""leadhook.sign makes the signatures of Standard Webhooks; the library of that name checks them."""

import base64
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook
from tests.sql.conftest import Sql
from tests.support.databases import Databases

from leadhook.local.database import Database

ID = "msg_1"
PAST = 1614265330

# Postgres holds no NUL and no surrogates.
bodies = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
keys = st.binary(min_size=24, max_size=64)


def now() -> int:
    """The library refuses what is older than five minutes."""
    return int(datetime.now(UTC).timestamp())


def sign(db: Sql, secret: str, body: str, message_id: str = ID, timestamp: int = PAST) -> str:
    """What the database makes of it."""
    signature: str = db.value(
        "select leadhook.sign(%(s)s, %(i)s, %(t)s, %(b)s)", s=secret, i=message_id, t=timestamp, b=body
    )
    return signature


@pytest.fixture(scope="module")
def database(databases: Databases, migrated_template: Database) -> Iterator[Database]:
    """One for all tests here, which change nothing."""
    yield from databases.copies(migrated_template)


def test_sign_gives_the_published_signature(db: Sql) -> None:
    """The example of the specification."""
    signature = sign(
        db,
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        '{"test": 2432232314}',
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(key=keys, body=bodies, prefixed=st.booleans(), padded=st.booleans())
def test_sign_agrees_with_the_library(db: Sql, key: bytes, body: str, prefixed: bool, padded: bool) -> None:  # noqa: FBT001 - a case of the table
    """Whatever the body, and however the secret is spelt."""
    encoded = base64.b64encode(key).decode()
    secret = ("whsec_" if prefixed else "") + (encoded if padded else encoded.rstrip("="))
    expected = Webhook("whsec_" + encoded).sign(ID, datetime.fromtimestamp(PAST, UTC), body)
    assert sign(db, secret, body) == expected


@pytest.mark.parametrize(
    "body", ["", "🦊" * 50_000, '{"a": "é\\n\\u0001"}'], ids=["empty", "200 kB of emoji", "escapes"]
)
def test_the_library_accepts_what_sign_signed(db: Sql, body: str) -> None:
    """From the receiver's side."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    timestamp = now()
    signature = sign(db, secret, body, timestamp=timestamp)
    headers = {"webhook-id": ID, "webhook-timestamp": str(timestamp), "webhook-signature": signature}
    Webhook(secret).verify(body, headers, json_parse=False)


@pytest.mark.parametrize(
    ("secret", "message_id", "complaint"),
    [
        ("whsec_not*base64*visibly*fake", ID, "a webhook secret must be whsec_ and base64"),
        ("whsec_", ID, "a webhook secret must have 24 to 64 bytes, not 0"),
        ("whsec_" + "A" * 31, ID, "a webhook secret must have 24 to 64 bytes, not 23"),
        ("whsec_" + "A" * 88, ID, "a webhook secret must have 24 to 64 bytes, not 66"),
        ("A" * 32, "", "a webhook id must not be empty or contain a dot"),
        ("A" * 32, "a.b", "a webhook id must not be empty or contain a dot"),
    ],
)
def test_sign_refuses_in_words_without_the_secret(db: Sql, secret: str, message_id: str, complaint: str) -> None:
    """Not even a character of it: Postgres's own words for bad base64 would quote one."""
    with pytest.raises(psycopg.Error) as refusal:
        sign(db, secret, "", message_id)
    assert refusal.value.diag.message_primary == complaint
    assert refusal.value.sqlstate == "PT400"
    assert "*" not in str(refusal.value)


def test_several_secrets_make_several_signatures(db: Sql) -> None:
    """While a secret is exchanged, receivers that know only one of the two accept the webhook."""
    old, new = ("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
    headers = db.value(
        "select leadhook.webhook_headers(%(i)s, %(t)s, %(b)s, %(s)s)", i=ID, t=now(), b="{}", s=f" {old}\n\t{new} "
    )
    assert headers.keys() == {"Content-Type", "webhook-id", "webhook-timestamp", "webhook-signature"}
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (old, new):
        assert Webhook(secret).verify("{}", headers) == json.loads("{}")
