"""What counts as an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadhook.gemini.answers import MessageAnswer, ScoreAnswer, parse

GOOD = '{"SCORE": 72, "RESPONSE": "fits", "SHOULD_CONTACT": 1}'


def test_a_complete_answer_is_taken() -> None:
    """The plain case."""
    score = parse(GOOD, ScoreAnswer).to_domain()

    assert (score.score, score.response, score.should_contact) == (72, "fits", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would say 72.",
        "```json\n" + GOOD + "\n```",
        GOOD[:-1],
        GOOD.replace("72", "140"),
        GOOD.replace("72", "-1"),
        GOOD.replace("72", "72.5"),
        GOOD.replace('"SHOULD_CONTACT": 1', '"SHOULD_CONTACT": 7'),
        '{"SCORE": 72}',
        "[]",
        "null",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """No repair by guessing: what is not complete and in range is asked for again."""
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of ValueError is not the rule
        parse(text, ScoreAnswer)


def test_a_message_that_was_cut_off_is_refused() -> None:
    """LangChain's parser would take it for a whole one."""
    with pytest.raises(ValueError, match="Unterminated"):
        parse('{"SUBJECT": "Hi", "MESSAGE": "Hello Jo, we can hel', MessageAnswer)


def test_what_postgres_cannot_store_is_cleaned() -> None:
    """A NUL goes, half of a surrogate pair becomes the replacement character, a whole pair stays."""
    text = r'{"SUBJECT": "a\u0000b \ud800", "MESSAGE": "\ud83d\ude00 ok"}'

    message = parse(text, MessageAnswer).to_domain()

    assert message.subject == "ab \N{REPLACEMENT CHARACTER}"
    assert message.message == "\N{GRINNING FACE} ok"


@given(st.text(st.characters(codec=None), min_size=1), st.text(st.characters(codec=None), min_size=1))
def test_whatever_text_a_model_sends_can_be_stored(subject: str, message: str) -> None:
    """Any JSON string at all ends up as text that UTF-8 and Postgres take."""
    try:
        answer = parse(json.dumps({"SUBJECT": subject, "MESSAGE": message}), MessageAnswer)
    except ValueError:
        assert not subject.replace("\0", "") or not message.replace("\0", "")
        return

    assert "\0" not in (answer.SUBJECT + answer.MESSAGE)
    answer.MESSAGE.encode()
    answer.SUBJECT.encode()
