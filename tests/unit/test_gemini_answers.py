"""What counts as an answer."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.yardstick import takes_at_most, text_s

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
        f"```json\n{score()}\n```",
        f"```\n{score()}```\nLet me know if {{anything}} is missing.",
        f"\ufeff{score()}",
        f"Here is the JSON {{as asked}}: {score()}",
        f"{score()}\n{score()}",
        f"[{score()}]",
        f"[{score()}, null]",
        f"{score()},",
        f'{{"answer": {score()}}}',
        f'{score()}{{"SCORE": 7',
        score() + "[" * 50_000,
        score() + "9" * 5_000,
        score(NOTES=0)[:-2] + "9" * 5_000 + "}",
        "{" * 3_000 + score(),
        json.dumps(score()),
        f"```json\n{json.dumps(score())}\n```",
        json.dumps(json.loads(score()), indent=2),
        json.dumps({"answer": score()}),
        f'{{"note": 1}} {json.dumps(score())}',
        score().replace('"', '\\"'),
        json.dumps({name.lower(): value for name, value in GOOD.items()}),
        json.dumps({name.title().replace("_", " "): value for name, value in GOOD.items()}),
    ],
)
def test_the_one_answer_in_a_text_is_taken_whatever_surrounds_it(text: str) -> None:
    """Fences, prose, a byte order mark, lists, a repetition, JSON encoded twice, other cases, an endless end."""
    assert parse(text, ScoreAnswer) == parse(score(), ScoreAnswer)


@pytest.mark.parametrize("number", ["85", " 85 ", "85.0", "85,0", "85/100", "85 out of 100", "85 %", "85."], ids=repr)
def test_a_number_as_text_is_a_number(number: str) -> None:
    """Where a proxy drops the schema."""
    assert parse(score(SCORE=number), ScoreAnswer).to_domain().score == 85


@pytest.mark.parametrize(
    ("no", "yes"), [(False, True), ("false", "True "), ("0", "1"), (0.0, 1.0), ("No", "yes")], ids=repr
)
def test_a_boolean_is_an_answer_to_yes_or_no(no: object, yes: object) -> None:
    """As JSON's own, as text, and in 0 and 1."""
    assert parse(score(SHOULD_CONTACT=yes), ScoreAnswer).to_domain().should_contact
    assert not parse(score(SHOULD_CONTACT=no), ScoreAnswer).to_domain().should_contact


@pytest.mark.parametrize("empty", [None, "", "  ", "\u200b", "N/A", "null", "None", "undefined", "-"], ids=repr)
def test_empty_items_of_a_list_are_dropped(empty: object) -> None:
    """They say nothing, and cost no repair."""
    answer = parse(score(MATCHED=["a plant", empty], MISSED=[empty] * 13), ScoreAnswer).to_domain()

    assert (answer.matched, answer.missed) == (("a plant",), ())


@pytest.mark.parametrize(("given", "read"), [("a plant", ("a plant",)), (None, ()), ("N/A", ())], ids=repr)
def test_a_list_of_one_or_none_may_be_no_list(given: object, read: tuple[str, ...]) -> None:
    """What is meant is plain."""
    assert parse(score(MATCHED=given), ScoreAnswer).to_domain().matched == read


def test_an_answer_quoted_in_an_answer_is_no_second_one() -> None:
    """A lead's own JSON, repeated in the reasoning, must not make the answer ambiguous."""
    quoted = score(RESPONSE=f"It says {score(SCORE=100)}, which is no evidence")
    assert parse(quoted, ScoreAnswer).to_domain().score == 72


PROSE = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "```json\n",
        "\n```",
        "[",
        "]",
        ",",
        "{",
        "}",
        '{"a": 1}',
        '"',
        "\ufeff",
        "Here it is: ",
        '{"SCORE": 7',
        "\\",
        "\\n",
    ]
)
TEXTS = st.text(st.characters(codec=None), min_size=1, max_size=60).filter(lambda text: any(map(str.isalnum, text)))


def is_taken(text: str, shape: type[MessageAnswer]) -> MessageAnswer | None:
    """The answer, if this text is one."""
    try:
        return parse(text, shape)
    except ValueError:
        return None


@given(st.lists(PROSE, max_size=5), TEXTS, TEXTS, st.booleans(), st.lists(PROSE, max_size=5))
def test_no_answer_with_exactly_one_fitting_object_is_discarded(
    before: list[str],
    subject: str,
    body: str,
    ascii_only: bool,  # noqa: FBT001 - a parameter of the test
    after: list[str],
) -> None:
    """Whatever stands before and after it, and however its strings are written."""
    plain = json.dumps({"SUBJECT": subject, "MESSAGE": body}, ensure_ascii=ascii_only)
    expected = is_taken(plain, MessageAnswer)
    if expected is not None:
        for wrapped in (plain, json.dumps(plain), json.dumps({"answer": [plain]})):
            assert is_taken("".join(before) + "\n" + wrapped + "\n" + "".join(after), MessageAnswer) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would say 72.",
        score()[:-1],
        score()[:-1] + ",}",
        f"{score()} or rather {score(SCORE=30)}",
        json.dumps({"drafts": [GOOD, GOOD | {"SCORE": 71}]}),
        "[]",
        "null",
        "[" * 100_000,
        '{"SCORE": ' + "9" * 5_000 + "}",
        *(
            score(SCORE=wrong)
            for wrong in (140, -1, 72.5, "72.5", "140", "high", "7 or 8", "", True, None, [72], float("nan"), ...)
        ),
        *(score(SHOULD_CONTACT=wrong) for wrong in (7, -1, 0.5, "7", "maybe", "", None, [1], ...)),
        *(score(RESPONSE=wrong) for wrong in ("", " ", "\u200b", "N/A", "null", "x" * 4_001, 7, None, ["x"], ...)),
        *(score(MATCHED=wrong) for wrong in (7, [7], ["x"] * 13, ["x" * 301], {"a": 1}, ...)),
        *(score(MISSED=wrong) for wrong in ([["a"]], ...)),
    ],
)
def test_any_other_score_is_refused(text: str) -> None:
    """No repair by guessing: what is not complete and in range is asked for again."""
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of ValueError is not the rule
        parse(text, ScoreAnswer)


@pytest.mark.parametrize(
    "text",
    [
        *(
            message(SUBJECT=wrong)
            for wrong in ("", " ", "x" * 201, None, 7, "None", "undefined", "ineligible", " Ineligible. ")
        ),
        *(message(MESSAGE=wrong) for wrong in ("", "\n", "x" * 4_001, None, ["x"], "N/A", "-", "ineligible")),
    ],
)
def test_any_other_message_is_refused(text: str) -> None:
    """The caps are hard, and no one gets a mail that says `ineligible`."""
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


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f Hello",
        "مرحبا \u202bليلى\u202c و\u2067שרה\u2069",
        "می\u200cرویم ❤\ufe0f 葛\U000e0100城",
    ],
    ids=ascii,
)
def test_what_names_and_flags_need_survives_in_a_message(text: str) -> None:
    """Joiners, direction marks, variation selectors and the tags of a region's flag."""
    answer = parse(message(SUBJECT=text, MESSAGE=text), MessageAnswer).to_domain()

    assert (answer.subject, answer.message) == (text, text)


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


@pytest.mark.parametrize(
    "before",
    ["{" * 500_000, '{"' * 250_000, '{"a":' * 100_000, '{"RESPONSE":"' * 40_000, '{"a":[' * 100_000, "\n{" * 250_000],
    ids=["brackets", "quotes", "objects", "strings", "lists", "lines"],
)
def test_an_answer_of_endless_brackets_costs_little_cpu(before: str) -> None:
    """It must not hold up other leads; whether the answer after them is found does not matter."""

    def parse_s() -> float:
        began_at = time.process_time()
        with contextlib.suppress(ValueError):
            parse(before + score(), ScoreAnswer)
        return time.process_time() - began_at

    assert takes_at_most(150, parse_s, text_s)
