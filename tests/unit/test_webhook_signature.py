"""Standard Webhooks: what is accepted, what is refused, and that nothing is ever raised."""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from leadhook.credentials import webhook_key
from leadhook.web import webhook_auth
from leadhook.web.webhook_auth import Headers, Refused, by_name

NOW = 1_800_000_000
KEY = b"k" * 32
ID = b"msg_2fake"
BODY = '{"type": "INSERT", "größe": "ü"}'.encode()


def signature(body: bytes = BODY, *, key: bytes = KEY, message_id: bytes = ID, at: int = NOW) -> bytes:
    when = datetime.fromtimestamp(at, UTC)
    return Webhook(key).sign(message_id.decode(), when, body.decode()).encode()


def headers(**changed: bytes | None) -> list[tuple[bytes, bytes]]:
    """The three headers of a good webhook, with changes; None leaves one out."""
    good = {"id": ID, "timestamp": str(NOW).encode(), "signature": signature()}
    return [(b"webhook-" + name.encode(), value) for name, value in {**good, **changed}.items() if value is not None]


def verify(given: Headers, body: bytes, *, keys: Sequence[bytes], now_s: int) -> int:
    """The age of a webhook with these headers."""
    return webhook_auth.verify(by_name(given), body, keys=keys, now_s=now_s)


def refusal(given: list[tuple[bytes, bytes]], body: bytes = BODY, keys: tuple[bytes, ...] = (KEY,)) -> str:
    with pytest.raises(Refused) as caught:
        verify(given, body, keys=keys, now_s=NOW)
    return caught.value.reason


def test_the_published_vector_is_accepted() -> None:
    """The example of the Standard Webhooks documents."""
    given = [
        (b"webhook-id", b"msg_p5jXN8AQM9LWM0D4loKWxJek"),
        (b"webhook-timestamp", b"1614265330"),
        (b"webhook-signature", b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ]
    key = webhook_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    assert verify(given, b'{"test": 2432232314}', keys=[key], now_s=1614265330) == 0


@given(
    body=st.text(),
    key=st.binary(min_size=24, max_size=64),
    message_id=st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="_-"), min_size=1),
    at=st.integers(0, 4_000_000_000),
)
def test_what_the_reference_library_signs_is_accepted(body: str, key: bytes, message_id: str, at: int) -> None:
    raw = body.encode()
    given = headers(
        id=message_id.encode()[:256],
        timestamp=str(at).encode(),
        signature=signature(raw, key=key, message_id=message_id.encode()[:256], at=at),
    )

    assert verify(given, raw, keys=[key], now_s=NOW) == NOW - at
    assert refusal(given, raw + b" ", (key,)) == "no_signature_fits"


def test_what_we_accept_the_reference_library_accepts() -> None:
    now = datetime.now(UTC)
    sent = headers(timestamp=str(int(now.timestamp())).encode(), signature=signature(at=int(now.timestamp())))
    Webhook(KEY).verify(BODY, {name.decode(): value.decode() for name, value in sent})

    assert verify(sent, BODY, keys=[KEY], now_s=int((now + timedelta(seconds=7)).timestamp())) in (7, 8)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_any_of_several_secrets_fits(place: int) -> None:
    keys = [secrets.token_bytes(32) for _ in range(3)]

    assert verify(headers(signature=signature(key=keys[place])), BODY, keys=keys, now_s=NOW) == 0


@pytest.mark.parametrize(
    "around",
    [
        b"garbage %s",
        b"v1,AAAA %s",
        b"v1a,AAAA %s v2,BBBB",
        b"%s garbage,with,commas",
        b"  %s  ",
        b"v1,%%%% %s".replace(b"%%", b"%"),
        b"\xff\xfe %s",
    ],
)
def test_one_good_signature_among_others_is_enough(around: bytes) -> None:
    """Unknown versions and garbage are skipped, as the specification says."""
    given = headers(signature=around.replace(b"%s", signature()))

    assert verify(given, BODY, keys=[KEY], now_s=NOW) == 0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"id": None}, "missing_webhook_id"),
        ({"timestamp": None}, "missing_webhook_timestamp"),
        ({"signature": None}, "missing_webhook_signature"),
        ({"id": b""}, "bad_id"),
        ({"id": b"a.b"}, "bad_id"),
        ({"id": b"i" * 257}, "bad_id"),
        ({"timestamp": b""}, "bad_timestamp"),
        ({"timestamp": b"1800000000.0"}, "bad_timestamp"),
        ({"timestamp": b"-1"}, "bad_timestamp"),
        ({"timestamp": b" 1800000000"}, "bad_timestamp"),
        ({"timestamp": b"18e8"}, "bad_timestamp"),
        ({"timestamp": "١٨".encode()}, "bad_timestamp"),
        ({"timestamp": b"9" * 5000}, "bad_timestamp"),
        ({"timestamp": b"1800000001"}, "no_signature_fits"),
        ({"id": b"another"}, "no_signature_fits"),
        ({"signature": b""}, "no_signature_fits"),
        ({"signature": b"v1,"}, "no_signature_fits"),
        ({"signature": b"v1,a,b"}, "no_signature_fits"),
        ({"signature": b"v1,\xff\xfe"}, "no_signature_fits"),
        ({"signature": b"v1," + b"A" * 5000}, "signatures_too_long"),
        ({"signature": signature().replace(b"v1,", b"v1a,")}, "no_signature_fits"),
        ({"signature": signature(key=b"x" * 32)}, "no_signature_fits"),
    ],
)
def test_a_header_that_is_not_right_is_refused(changed: dict[str, bytes | None], reason: str) -> None:
    assert refusal(headers(**changed)) == reason


@pytest.mark.parametrize("name", ["id", "timestamp", "signature"])
def test_a_repeated_header_is_refused(name: str) -> None:
    """Proxies and programs disagree on which one counts."""
    given = headers()
    twice = [*given, *(pair for pair in given if pair[0].endswith(name.encode()))]

    assert refusal(twice) == f"repeated_webhook_{name}"


def test_no_secret_means_no_webhook() -> None:
    """Without WEBHOOK_SECRETS nothing can be signed well."""
    assert refusal(headers(), keys=()) == "no_secret_set"


def test_the_age_is_returned_but_not_checked_here() -> None:
    """A webhook may have waited in the sender's queue, and clocks run ahead."""
    for at in (NOW - 100_000, NOW + 7):
        given = headers(timestamp=str(at).encode(), signature=signature(at=at))

        assert verify(given, BODY, keys=[KEY], now_s=NOW) == NOW - at


hostile = st.one_of(st.binary(max_size=300), st.sampled_from([ID, str(NOW).encode(), signature(), b"v1,", b",,"]))


@given(
    given=st.lists(
        st.tuples(st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"x"]), hostile),
        max_size=6,
    ),
    body=st.binary(max_size=200),
)
def test_nothing_but_a_refusal_is_ever_raised(given: list[tuple[bytes, bytes]], body: bytes) -> None:
    try:
        verify(given, body, keys=[KEY], now_s=NOW)
    except Refused:
        return
    assert (b"webhook-id", ID) in given


@pytest.mark.parametrize(
    "text", ["whsec_", "whsec_YQ==", "WHSEC_" + "A" * 44, "whsec_" + "A" * 100, "whsec_é", "whsec_A A"]
)
def test_a_secret_has_24_to_64_bytes_of_base64(text: str) -> None:
    """Anything else is an error at the start, not a hole later."""
    with pytest.raises(ValueError, match="must"):
        webhook_key(text)


def test_padding_may_be_missing() -> None:
    """Some tools cut it off."""
    raw = secrets.token_bytes(32)

    assert webhook_key("whsec_" + base64.b64encode(raw).decode().rstrip("=")) == raw
