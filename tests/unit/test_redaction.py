"""No secret and no mail address reaches the log, under whatever name, shape or nesting."""

import json
import re
import secrets
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from leadhook.observability.redaction import HIDDEN, LONGEST_SECRET, LONGEST_TEXT, MOST_KEYS, Redactor


def redacted(**fields: Any) -> Any:
    return Redactor()(None, "info", fields)


def letters(count: int) -> str:
    """Random letters and digits, so that no secret-like literal stands in this file."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(count))


@pytest.mark.parametrize(
    "name",
    [
        *[
            "api_key",
            "apiKey",
            "x-goog-api-key",
            "Authorization",
            "webhook-signature",
            "token",
            "admin_tokens",
            "secret",
        ],
        *["client_secret", "WEBHOOK_SECRETS", "password", "db.password", "cookie", "set-cookie", "jwt", "dsn"],
    ],
)
def test_a_field_with_a_secret_name_is_hidden(name: str) -> None:
    event = redacted(**{name: "harmless words"}, nested=[{"inner": {name: ["harmless", "words"]}}])

    assert event == {name: HIDDEN, "nested": [{"inner": {name: HIDDEN}}]}


@pytest.mark.parametrize(
    "name", ["input_tokens", "output_tokens", "key", "key_fingerprint", "supabase_key_from", "monkey", "tokenizer"]
)
def test_a_field_that_only_sounds_like_it_is_kept(name: str) -> None:
    """Token counts and fingerprints are what the log is for."""
    assert redacted(**{name: "a1b2", "n": {name: 7}}) == {name: "a1b2", "n": {name: 7}}


@pytest.mark.parametrize(
    "shape",
    [
        "AIza<35>",
        "AQ.<40>",
        "sb_secret_<30>",
        "sb_publishable_<30>",
        "eyJ<20>.<40>.<43>",
        "whsec_<20>+/<20>=",
        "v1,<43>=",
        "jane.<8>@example.co.uk",
    ],
)
def test_a_value_of_a_secret_shape_is_hidden(shape: str) -> None:
    secret = re.sub(r"<(\d+)>", lambda found: letters(int(found[1])), shape)
    event = redacted(event=f"before {secret}, after", nested=[{f"<{secret}>": (secret,)}], other={secret})

    assert secret not in str(event)
    assert event["event"].startswith("before ")
    assert event["event"].endswith(", after")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abcdefghijkl", f"Authorization: Bearer {HIDDEN}"),
        ("https://g.example/v1?key=abc&x=1", f"https://g.example/v1?key={HIDDEN}&x=1"),
        ("postgres://me:pass@host:5432/db", f"postgres://{HIDDEN}@host:5432/db"),
        ("host=h password=hunter2 user=u", f"host=h password={HIDDEN} user=u"),
        (
            "1 validation error [type=x, input_value={'bio': 'private, input'}, input_type=dict]",
            f"1 validation error [type=x, input_value={HIDDEN}, input_type=dict]",
        ),
    ],
)
def test_what_stands_around_a_secret_is_kept(text: str, left: str) -> None:
    assert redacted(event=text) == {"event": left}


def test_what_pydantic_was_given_is_hidden() -> None:
    """Its errors quote their input, which may be a lead."""

    class Shape(BaseModel):
        bio: int

    with pytest.raises(ValidationError) as caught:
        Shape.model_validate({"bio": "Jane Doe likes sailing"})

    assert "sailing" not in str(redacted(error=caught.value))


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=60),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_a_known_secret_is_hidden_whatever_it_looks_like(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.remember([secret])
    event = redactor(
        None, "info", {"event": f"{before}{secret}{after}", "url": f"?q={quote(secret, safe='')}", secret: 1}
    )

    assert all(secret not in part for part in (*event, *map(str, event.values())) if secret not in HIDDEN)
    assert quote(secret, safe="") not in event["url"]


def test_a_secret_that_begins_with_another_goes_as_a_whole() -> None:
    """The rest of the longer one is half a secret."""
    redactor = Redactor()
    redactor.remember(["abcdefgh"])
    redactor.remember(["abcdefgh-and-more"])

    assert redactor.text("<abcdefgh-and-more>") == f"<{HIDDEN}>"


def test_gemini_keys_are_hidden_as_long_as_claims_bring_them() -> None:
    """A bounded number; those that were not seen for the longest time are forgotten, secrets of the settings never."""
    redactor = Redactor()
    redactor.remember(["a-secret-of-the-settings"])
    keys = [f"visibly-fake-key-{place:05d}" for place in range(MOST_KEYS + 1)]
    redactor.remember_keys(keys[:-1])
    redactor.remember_keys(keys[:1])
    redactor.remember_keys(keys[-1:])

    assert redactor.text(f"{keys[0]} {keys[1]} {keys[2]} {keys[-1]}") == f"{HIDDEN} {keys[1]} {HIDDEN} {HIDDEN}"
    assert redactor.text("a-secret-of-the-settings") == HIDDEN


@pytest.mark.parametrize("shown", [repr, json.dumps, lambda secret: f"?key={quote(secret)}&x"])
def test_a_secret_is_known_in_the_spellings_that_texts_have(shown: Callable[[str], str]) -> None:
    """Python's and JSON's quotes, and a URL's."""
    secret = "two\nlines 'and' \"quotes\" \\ ключ"
    redactor = Redactor()
    redactor.remember([secret])

    assert "quotes" not in redactor.text(shown(secret))
    assert "lines" not in redactor.text(shown(secret))


@pytest.mark.parametrize("place", [LONGEST_TEXT - 20, LONGEST_TEXT + LONGEST_SECRET - 20])
def test_no_half_of_a_secret_is_left_where_a_text_is_cut(place: int) -> None:
    """Neither at the end of what is shown, nor at the end of what is looked at."""
    redactor = Redactor()
    redactor.remember(["half-a-secret-" * 10])
    text = "x" * place + "half-a-secret-" * 10 + "y" * 10_000

    assert "half" not in redactor.text(text)


def test_of_an_endless_secret_nothing_is_left() -> None:
    """Whatever was put among the keys."""
    redactor = Redactor()
    redactor.remember_keys(["k" + "ab" * 10_000])

    assert "ab" not in redactor.text("<k" + "ab" * 10_000 + ">")
    assert redactor.text("<k" + "ab" * 3_000 + ">") == f"<{HIDDEN}"


def test_short_values_are_not_taken_for_secrets() -> None:
    """A "secret" of a few letters would blot out words."""
    redactor = Redactor()
    redactor.remember(["", "error", "1234567"])

    assert redactor.text("error 1234567") == "error 1234567"


def test_anything_becomes_plain_json() -> None:
    """Objects are shown as text before they are looked at; those that can't be shown say so."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    mail = "jane@example.com"
    event = redacted(
        a=SecretStr("x" * 9), b=Broken(), c=ValueError(mail), d=float("nan"), e=b"bytes", f=1.5, g=None, h=True
    )

    assert event == {
        "a": "**********",
        "b": "<Broken that raises RuntimeError>",
        "c": HIDDEN,
        "d": "nan",
        "e": "b'bytes'",
        "f": 1.5,
        "g": None,
        "h": True,
    }


def test_long_and_deep_values_are_cut() -> None:
    """One line can't fill the disk, nor a loop of references the stack."""
    loop: list[Any] = []
    loop.append(loop)
    event = redacted(text="x" * 100_000, loop=loop)

    assert len(event["text"]) < LONGEST_TEXT + 50
    assert "…" in str(event["loop"])
