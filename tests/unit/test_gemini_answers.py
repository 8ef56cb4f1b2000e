"""What counts as an answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadhook.gemini.answers import MessageAnswer, ScoreAnswer, parse

GOOD = {"MATCHED": ["a plant"], "MISSED": [], "RESPONSE": "fits", "SCORE": 72, "SHOULD_CONTACT": 1}


def score(**changes: Any) -> str:
    """A good score with these changes."""
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value is not ...})


def message(**changes: Any) -> str:
    """A good message with these changes."""
    return json.dumps({"SUBJECT": "Hi Jo", "MESSAGE": "Hello"} | changes)


def test_a_complete_answer_is_taken() -> None:
    """The plain case; white space around and fields beyond the asked ones are no matter."""
    answer = parse(f" {score(RESPONSE=' fits ', MORE=1)}\n", ScoreAnswer).to_domain()

    assert (answer.score, answer.response, answer.should_contact) == (72, "fits", True)
    assert (answer.matched, answer.missed) == (("a plant",), ())


@pytest.mark.parametrize("number", [0, 85, 85.0, 100])
def test_whole_numbers_are_scores(number: float) -> None:
    """JSON has one kind of number: 85.0 is as whole as 85."""
    assert parse(score(SCORE=number), ScoreAnswer).to_domain().score == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would say 72.",
        f"```json\n{score()}\n```",
        score()[:-1],
        "[]",
        "null",
        "[" * 100_000,
        '{"SCORE": ' + "9" * 5_000 + "}",
        *(score(SCORE=wrong) for wrong in (140, -1, 72.5, "72", True, None, [72], float("nan"), ...)),
        *(score(SHOULD_CONTACT=wrong) for wrong in (7, -1, 0.5, "1", True, None, ...)),
        *(score(RESPONSE=wrong) for wrong in ("", " ", "\u200b", "x" * 4_001, 7, None, ["x"], ...)),
        *(score(MATCHED=wrong) for wrong in ("a", None, [7], [""], ["x"] * 13, ["x" * 301], {"a": 1}, ...)),
        *(score(MISSED=wrong) for wrong in (None, [["a"]], ...)),
    ],
)
def test_any_other_score_is_refused(text: str) -> None:
    """No repair by guessing: what is not complete and in range is asked for again."""
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of ValueError is not the rule
        parse(text, ScoreAnswer)


@pytest.mark.parametrize(
    "text",
    [
        *(message(SUBJECT=wrong) for wrong in ("", " ", "x" * 201, None, 7, "ineligible", " Ineligible. ")),
        *(message(MESSAGE=wrong) for wrong in ("", "\n", "x" * 4_001, None, ["x"], "ineligible")),
    ],
)
def test_any_other_message_is_refused(text: str) -> None:
    """The caps are hard, and nobody gets a mail that says `ineligible`."""
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of ValueError is not the rule
        parse(text, MessageAnswer)


def test_the_caps_are_within_what_is_taken() -> None:
    """200 and 4,000 characters still go."""
    answer = parse(message(SUBJECT="x" * 200, MESSAGE="y" * 4_000), MessageAnswer).to_domain()

    assert (len(answer.subject), len(answer.message)) == (200, 4_000)


def test_subject_is_one_line() -> None:
    """A line end in a mail's subject would begin another header."""
    assert parse(message(SUBJECT="Hi\r\nBcc: all"), MessageAnswer).to_domain().subject == "Hi Bcc: all"


def test_a_message_that_was_cut_off_is_refused() -> None:
    """LangChain's parser would take it for a whole one."""
    with pytest.raises(ValueError, match="Unterminated"):
        parse('{"SUBJECT": "Hi", "MESSAGE": "Hello Jo, we can hel', MessageAnswer)


def test_what_postgres_cannot_store_is_cleaned() -> None:
    """A NUL goes, half of a surrogate pair becomes the replacement character, a whole pair stays."""
    text = r'{"SUBJECT": "a\u0000b \ud800", "MESSAGE": "\ud83d\ude00 ok"}'

    answer = parse(text, MessageAnswer).to_domain()

    assert answer.subject == "ab \N{REPLACEMENT CHARACTER}"
    assert answer.message == "\N{GRINNING FACE} ok"


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_whatever_text_a_model_sends_can_be_stored(subject: str, text: str) -> None:
    """Any JSON string at all ends up as text that UTF-8 and Postgres take, or is refused."""
    try:
        answer = parse(json.dumps({"SUBJECT": subject, "MESSAGE": text}), MessageAnswer)
    except ValueError:
        return

    assert "\0" not in (answer.SUBJECT + answer.MESSAGE)
    assert "\n" not in answer.SUBJECT
    answer.MESSAGE.encode()
    answer.SUBJECT.encode()
