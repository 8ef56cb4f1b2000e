"""A lead as the model sees it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadhook.domain.lead import Lead
from leadhook.gemini.limits import LEAD_CHARACTERS
from leadhook.gemini.prompts import fenced
from leadhook.gemini.rendering import FIELDS, NOTHING_KNOWN, render
from leadhook.gemini.sanitize import strip_invisible

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)

VALUES = {name: JSON if name in ("experience", "skills") else st.text() for name in FIELDS}


def text_of(**fields: Any) -> str:
    """The lines of a lead with these fields."""
    return render(Lead(lead_id="secret-id", tag="secret-tag", **fields)).text


def test_only_the_allowed_fields_are_sent() -> None:
    """The id and the tag are ours, not the model's."""
    text = text_of(**dict.fromkeys(FIELDS, "value"))

    assert [line.partition(":")[0] for line in text.splitlines()] == list(FIELDS)
    assert "secret" not in text


def test_a_lead_of_nulls_is_said_to_be_unknown() -> None:
    """Every field but the id may be missing, or hold nothing that can be seen."""
    assert text_of(name="", bio="\u200b \n", experience=[], skills={}) == NOTHING_KNOWN


@pytest.mark.parametrize("as_text", [False, True])
def test_json_is_sent_in_lines_for_readers(as_text: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Whether the column is JSON or holds it as text; without braces, quotes and what is empty."""
    jobs = [{"title": "CTO", "firm": "Zürich Pumpen", "to": None, "tasks": ["plan", "buy"]}, "Student", 7, True]
    text = text_of(experience=json.dumps(jobs) if as_text else jobs, skills=["Python", "SQL"])

    assert text.splitlines() == [
        "experience: - title: CTO; firm: Zürich Pumpen; tasks: plan, buy",
        "| - Student",
        "| - 7",
        "| - yes",
        "skills: Python, SQL",
    ]


def test_what_only_begins_like_json_is_text() -> None:
    """A bracket is no promise, nor is a deep nest of them."""
    assert text_of(skills="[Python] and more") == "skills: [Python] and more"
    assert text_of(experience="[" * 100_000).startswith("experience: [[[")


def test_bio_that_looks_like_json_stays_as_it_is() -> None:
    """Only experience and skills are ever JSON."""
    assert text_of(bio='["a"]') == 'bio: ["a"]'


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"bio": "x" * 100_000}, "[cut here: 96000 more characters]"),
        ({"experience": [{"n": n} for n in range(60)]}, "| [cut here: 20 more]"),
        ({"skills": [f"s{n}" for n in range(50)]}, "[cut here: 10 more]"),
        ({"experience": [{"text": "y" * 5_000}]}, "[cut here: 4206 more characters]"),
        ({"experience": [[[[[["deep"]]]]]]}, "[cut here: nested too deep]"),
    ],
)
def test_what_is_cut_is_said(fields: dict[str, Any], note: str) -> None:
    """Characters, items and depth."""
    assert note in text_of(**fields)


def test_no_lead_is_longer_than_the_limit() -> None:
    """The longest of everything, and the fence around it."""
    lines = dict.fromkeys(FIELDS, "a\n" * 1000000)
    long = dict.fromkeys(FIELDS, "x" * 3000000)

    assert len(fenced(text_of(**lines))) <= LEAD_CHARACTERS
    assert 10_000 < len(fenced(text_of(**long))) <= LEAD_CHARACTERS


@given(
    st.fixed_dictionaries(
        {}, optional={name: JSON if name in ("experience", "skills") else st.text() for name in FIELDS}
    )
)
def test_whatever_a_lead_holds_can_be_sent_and_stays_in_its_lines(fields: dict[str, Any]) -> None:
    """Each line begins with a field's name, once and in order, or with a bar."""
    text = text_of(**fields)

    text.encode()
    assert len(fenced(text)) <= LEAD_CHARACTERS
    assert strip_invisible(text) == text
    names = [line.partition(":")[0] for line in text.splitlines() if not line.startswith("| ")]
    assert text == NOTHING_KNOWN or names == [name for name in FIELDS if name in names]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Müller & Söhne, Zürich", "Müller & Söhne, Zürich"),
        ("می\u200cروم", "می\u200cروم"),
        ("क्\u200dष", "क्\u200dष"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("ad\u200dmin", "admin"),
        ("a\u202eb\u2066c\x00d\x1b", "abcd"),
        ("soft\u00adhyphen", "softhyphen"),
        ("tag\U000e0041\U000e007f", "tag"),
        ("half \ud800", "half "),
    ],
)
def test_what_no_reader_sees_goes_and_what_joins_letters_stays(text: str, cleaned: str) -> None:
    """Persian, Hindi and emoji need their joiners."""
    assert strip_invisible(text) == cleaned
