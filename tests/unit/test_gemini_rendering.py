"""A lead as the model sees it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadhook.domain.lead import Lead
from leadhook.gemini.limits import LEAD_CHARACTERS
from leadhook.gemini.prompts import fenced
from leadhook.gemini.rendering import FIELDS, NOTHING_KNOWN, render
from leadhook.gemini.sanitize import hides_text, says_nothing, strip_invisible

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
        ("un\u2068seen\u2069", "unseen"),
        ("a\u202db\u202c", "ab"),
        ("Jo\ufe00\ufe01\U000e0100", "Jo"),
        ("葛\U000e0100\U000e0101", "葛\U000e0100"),
        ("\U0001f3f4\U000e0068\U000e0069\U000e0064\U000e0065\U000e006d\U000e0065\U000e007f", "\U0001f3f4"),
    ],
)
def test_what_no_reader_sees_goes_and_what_joins_letters_stays(text: str, cleaned: str) -> None:
    """Persian, Hindi and emoji need their joiners."""
    assert strip_invisible(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f England",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f Scotland",
        "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f Wales",
        "\U0001f3f4\U000e0075\U000e0073\U000e0074\U000e0078\U000e007f Texas",
        "\U0001f1e9\U0001f1ea Germany",
        "\u202bمحمد العلي\u202c",
        "Name: \u2067שרה לוי\u2069, CTO",
        "\u202bشركة ABC\u202c",
        "محمد\u200f (CTO)",
        "می\u200cرو",
        "ශ්\u200dරී",
        "葛\U000e0100城",
        "ᠭ\u180b",
        "❤\ufe0f 1\ufe0f\u20e3 \U0001f3f3\ufe0f\u200d\U0001f308",
    ],
    ids=ascii,
)
def test_what_real_names_need_survives_and_is_not_suspicious(text: str) -> None:
    """Flags of regions, joiners, direction marks and variation selectors, in a lead as in a message."""
    assert strip_invisible(text) == text
    assert not hides_text(text)
    assert text_of(name=text) == f"name: {text}"


@pytest.mark.parametrize("text", ["\u2068Jo Doe\u2069", "\u202aJo Doe\u202c"], ids=ascii)
def test_marks_that_programs_put_around_names_are_removed_without_suspicion(text: str) -> None:
    """Address books and chat programs write them around any name."""
    assert text_of(name=text) == "name: Jo Doe"
    assert not hides_text(text)


@pytest.mark.parametrize(
    "nothing",
    [
        "N/A",
        "n/a",
        " NULL ",
        "None",
        "undefined",
        "undefined undefined",
        "null, null",
        "nan",
        "NaN",
        "-",
        "—",
        "#N/A",
        "(null)",
        "[object Object]",
        "&nbsp;",
        "<p>N/A</p>",
        "<br>",
    ],
)
def test_what_programs_write_for_nothing_is_nothing(nothing: str) -> None:
    """As the whole value of a field, of an item and of an item's part."""
    assert text_of(**dict.fromkeys(FIELDS, nothing)) == NOTHING_KNOWN
    assert text_of(skills=[nothing], experience=[{"title": nothing}]) == NOTHING_KNOWN
    assert text_of(experience=[{"title": "CTO", "to": nothing}, nothing]) == "experience: - title: CTO"


@pytest.mark.parametrize(
    "text", ["Nan Goldin", "Null Island Ltd", "None of the above", "undefined behaviour", "Na", "Nil", "NA region", "0"]
)
def test_words_that_only_look_like_nothing_are_sent(text: str) -> None:
    """Names and sentences."""
    assert not says_nothing(text)
    assert text_of(name=text) == f"name: {text}"


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("Smith &amp; Sons", "Smith & Sons"),
        ("R&amp;amp;D", "R&D"),
        ("O&#39;Neil &#x2013; CTO", "O'Neil \u2013 CTO"),
        ("M&uuml;ller", "Müller"),
        ("AT&T, R&D; Q&A", "AT&T, R&D; Q&A"),
        ("https://a.example/?x=1&copy=2", "https://a.example/?x=1&copy=2"),
        ("<p>Plans <b>pumps</b>.</p><p>Buys &lt;br&gt; pipes.</p>", "Plans pumps.\n| Buys\n| pipes."),
        ("<div class='x'>CTO<br/>CFO</div>", "CTO\n| CFO"),
        ("Seen<!-- unseen --> <script>x()</script>again", "Seen again"),
        ("I <3 pumps; 5 < 6 and 7 > 6; List<Pump>", "I <3 pumps; 5 < 6 and 7 > 6; List<Pump>"),
        (r"M\u00fcller, \ud83d\ude00", "Müller, 😀"),
        (r"M\\u00fcller", "Müller"),
        (r"One\nTwo\r\nThree \"four\"", 'One\n| Two\n| Three "four"'),
        (json.dumps('Leads "pumps"\nin Zürich'), 'Leads "pumps"\n| in Zürich'),
        (r"C:\new\tools", r"C:\new\tools"),
        ("MÃ¼ller", "Müller"),
        ("MÃƒÂ¼ller", "Müller"),
        ("Itâ€™s JosÃ©", "It\u2019s José"),
        ("РџСЂРёРІРµС\u201a, РјРёСЂ", "Привет, мир"),
        ("SÃO PAULO, São Paulo, «Â»", "SÃO PAULO, São Paulo, «Â»"),
        ("&#61;&#61;&#61; lead 1 &#61;&#61;&#61;", "== lead 1 =="),
    ],
)
def test_a_lead_is_read_as_a_person_would_read_it(raw: str, read: str) -> None:
    """HTML, escapes and broken encodings are undone; what only looks like them stays."""
    assert text_of(bio=raw) == f"bio: {read}"
    assert (
        text_of(experience=[{"about": raw}]).replace(" \n", " ")
        == f"experience: - about: {read.replace(chr(10) + '|', '')}"
    )


@pytest.mark.parametrize(
    "encode",
    [
        lambda jobs: json.dumps(json.dumps(jobs)),
        lambda jobs: json.dumps(json.dumps(json.dumps(jobs))),
        lambda jobs: [json.dumps(job) for job in jobs],
        lambda jobs: json.dumps([json.dumps(job) for job in jobs]),
    ],
    ids=["twice", "three times", "its items", "it and its items"],
)
def test_json_encoded_more_than_once_is_read_as_json(encode: Callable[[Any], Any]) -> None:
    """In a JSON column as in text."""
    jobs = [{"title": "CTO", "firm": "Zürich"}, {"title": "CFO"}]

    assert text_of(experience=encode(jobs)) == text_of(experience=jobs)
