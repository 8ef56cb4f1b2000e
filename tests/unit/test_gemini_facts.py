"""Every fact in a message has a source: how many true messages go out, how many faults are caught, and what it costs.

The corpora are in `tests/messages`; `python -m tests.support.messages` prints the rates that docs/model.md shows.
"""

import json
import re
import time
from collections import Counter
from typing import Any, cast

import pytest
from pydantic import SecretStr
from tests.conftest import ROOT
from tests.support.messages import LEAD, SCRIPTS, Case, is_right, planted_messages, true_messages, wordings
from tests.support.yardstick import takes_at_most, text_s

from leadhook.domain.job import ApiKey
from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Claim, Message, Usage
from leadhook.gemini import prepare
from leadhook.gemini.answers import Reply
from leadhook.gemini.facts import check_facts
from leadhook.gemini.guardrails import check_message
from leadhook.gemini.links import _suffixes
from leadhook.gemini.numbers import _function_words, _number_words, languages_of, numbers_in
from leadhook.gemini.prompts import TEMPLATES
from leadhook.gemini.rendering import render
from leadhook.gemini.scorer import GeminiScorer
from leadhook.gemini.wordings import _SENTENCES, _built
from leadhook.gemini.words import fold, place_starts, places

PROMPTS = Prompts(
    wildnet_data="Kessel & Ray, Vienna. 8 to 12 percent fewer kilometres.", message_prompt="Sign as Mira."
)
ROWS = {
    "true": "true messages accepted",
    "invented_number": "invented numbers caught",
    "wrong_employer": "wrong employers caught",
    "wrong_place": "wrong places caught",
    "false_acquaintance": "false acquaintance caught",
    "placeholder": "placeholders caught",
    "other_lead": "another lead's name caught",
    "prompt_leak": "leaked prompts caught",
    "sum_without_source": "sums and percentages caught",
}


class Fixed:
    """A model that always gives the same answer."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def ask(self, *_: Any, **__: Any) -> Reply:
        """Answer."""
        return Reply(self._text, "STOP", None, Usage(calls=1))


def check(text: str, *claims: Claim, lead: Lead = LEAD, prompts: Prompts = PROMPTS) -> str | None:
    """The words without a source."""
    unproven, _ = check_facts(Message(subject="Hello", message=text, claims=claims), prompts, render(lead).text)
    return unproven.words if unproven else None


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """All of them."""
    return [*true_messages(), *planted_messages()]


@pytest.fixture(scope="module")
def right(cases: list[Case]) -> list[Case]:
    """Those that are accepted or refused as they should be: a second of work."""
    return [case for case in cases if is_right(case)]


def test_the_corpora_are_broad(cases: list[Case]) -> None:
    """At least 400 true messages to 54 leads and 400 faults of 8 kinds, in 6 languages and 4 scripts."""
    true = [case for case in cases if case.kind == "true"]
    planted = [case for case in cases if case.kind != "true"]

    assert len(true) >= 400
    assert len({case.planted for case in planted}) >= 400
    assert len({case.lead.lead_id for case in true}) >= 54
    assert len({SCRIPTS.get(case.language, "Latin") for case in true}) >= 4
    assert len({case.language for case in planted}) >= 6
    assert len({case.kind for case in planted}) == 8


def test_at_most_one_true_message_in_a_hundred_is_refused(cases: list[Case], right: list[Case]) -> None:
    """Without the model's claims, which can only help."""
    true, accepted = ([case for case in some if case.kind == "true"] for some in (cases, right))

    assert len(accepted) >= 0.99 * len(true)


def test_ninety_eight_faults_in_a_hundred_are_caught(cases: list[Case], right: list[Case]) -> None:
    """And at least nineteen in twenty of each kind."""
    planted = [case for case in cases if case.kind != "true"]
    caught = Counter(case.kind for case in right if case.kind != "true")

    assert caught.total() >= 0.98 * len(planted)
    for kind, total in Counter(case.kind for case in planted).items():
        assert caught[kind] >= 0.95 * total, kind


def test_the_documentation_shows_these_rates(cases: list[Case], right: list[Case]) -> None:
    """Each row of its table."""
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    counts = Counter(case.kind for case in right)
    for kind, total in Counter(case.kind for case in cases).items():
        assert f"| {ROWS[kind]} | {counts[kind]} | {total} |" in page


def test_claims_cost_at_most_120_tokens_a_message(cases: list[Case]) -> None:
    """At four characters a token, so in Latin script: one claim for each number and for the company."""
    latin = [case for case in cases if case.kind == "true" and case.language not in SCRIPTS]
    costs = []
    for case in latin:
        stated = [number.words for number in numbers_in(case.message.message, languages_of(case.message.message))]
        claims = [f"{words} | experience | {words}" for words in [*stated, case.lead.company_name or "none"][:6]]
        costs.append(len(json.dumps({"CLAIMS": claims}, ensure_ascii=False)) / 4)

    assert max(costs) <= 120


@pytest.mark.anyio
async def test_a_true_message_takes_one_call(right: list[Case]) -> None:
    """The checks buy nothing."""
    for case in [case for case in right if case.kind == "true"][::9]:
        answer = {"SUBJECT": case.message.subject, "MESSAGE": case.message.message, "CLAIMS": []}
        scorer = GeminiScorer(cast("Any", Fixed(json.dumps(answer))))
        _, usage = await scorer.write(case.lead, case.prompts, ApiKey(fingerprint="f", api_key=SecretStr("fake")))
        assert usage.calls == 1


def test_acquaintance_and_leaks_are_caught_in_many_wordings() -> None:
    """The missed ones are known, and no true sentence is refused."""
    wrong = {case.planted for case in wordings() if not is_right(case)}

    assert wrong == {
        "Espero que ya se haya recuperado de la operación.",
        "Hoffentlich war der Rückflug angenehmer als unser Hinflug.",
        "Je n'ai pas d'autres données sur vous.",
        "Karin from your purchasing team still laughs about our mix-up.",
        "Nach Ihrem Messebesuch bei uns möchte ich nachhaken.",
        "Remember the demo we gave your team?",
        "Sie sind damals extra zwei Stunden gefahren, um unseren Prototyp anzusehen.",
        "После вашего визита на наш стенд хочу вернуться к теме.",
    }


def test_a_check_of_facts_costs_little_cpu(cases: list[Case]) -> None:
    """1.2 times the words of 18,000 characters, on the mean of the true messages: about a millisecond."""
    true = [(case.message, case.prompts, render(case.lead).text) for case in cases[::3] if case.kind == "true"]

    def check_s() -> float:
        began_at = time.process_time()
        for message, prompts, rendered in true:
            check_facts(message, prompts, rendered)
        return (time.process_time() - began_at) / len(true)

    assert takes_at_most(2.5, check_s, text_s)


@pytest.mark.parametrize("unit", ["A.", "\u017f", "ab.", "zwei"])
def test_a_long_word_of_a_prompt_costs_little_cpu(unit: str) -> None:
    """It must not hold up the leads of other users."""
    prompts = Prompts(wildnet_data=unit * (100_000 // len(unit)), message_prompt="Sign as Mira.")
    message = Message(subject="Pumps", message="Hello Bob, visit a.com or call +49 30 123456 about 5 pumps.")

    def check_s() -> float:
        began_at = time.process_time()
        check_message(message, prompts, Lead(lead_id="1", name="Bob"))
        check_facts(message, prompts, "name: Bob")
        return time.process_time() - began_at

    assert takes_at_most(1_500, check_s, text_s)


def test_a_start_loads_what_the_first_message_needs() -> None:
    """It would hold up all others for 50 ms."""
    lists = (places, place_starts, _suffixes, _built, _number_words, _function_words)
    for each in lists:
        each.cache_clear()

    prepare()

    assert [each.cache_info().currsize for each in lists] == [1] * len(lists)


def test_places_are_stored_as_names_are_compared() -> None:
    """Folding thousands of names at a start would take longer than reading them."""
    assert [name for name in places() if fold(name) != name] == []


def test_a_pattern_fits_wherever_it_does_when_tried_alone() -> None:
    """Patterns are tried by their first words, and none may be lost."""
    for case in wordings():
        text, begin = case.message.message.lower(), "" if case.language == "zh" else r"(?<!\w)"
        patterns = [pattern for words in _SENTENCES.values() for pattern in words.get(case.language, ())]
        fitting = {found[0] for pattern in patterns for found in re.finditer(f"{begin}(?:{pattern})", text)}
        found = {found[0] for _, found in _built(case.language).found_in(text)}
        assert found == fitting, case.planted


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("the 1,200 and the 1.2 million of the", [{1200}, {1_200_000}]),
        ("die 1.024,5 und die 12,5 für", [{1024.5}, {12.5}]),
        ("les 4 600 clients et vos 6,3 M€", [{4600}, {6_300_000}]),
        ("the 1,00,000 and Rs 4.5 crore of the", [{100_000}, {45_000_000}]),
        ("neunundzwanzig und siebzehn und zwölf für die", [{29}, {17}, {12}]),
        ("les quatre-vingt-dix-sept et les soixante et onze", [{97}, {71}]),
        ("los treinta y un y los doscientos cinco", [{31}, {205}]),
        ("и тридцатью одним, и сорока", [{31}, {40}]),
        ("您的三十一名和270万美元和百分之二十三", [{31}, {2_700_000}, {23}]),
        ("في سبعة عشر و٥٢٠ من", [{17}, {520}]),
        ("six hundred and forty-two thousand of the", [{642_000}]),
        ("the B2B at 17:00 on the A6, V2.1", []),
        ("十分感谢 周二 第三 百忙之中", []),
    ],
)
def test_numbers_are_read_as_their_writers_mean_them(text: str, values: list[set[float]]) -> None:
    """All readings of each: digits of any script and locale, words, scales."""
    assert [number.values for number in numbers_in(text, languages_of(text))] == values


@pytest.mark.parametrize(
    "text",
    [
        "Hello Ada, your 11 warehouses at Nordlast made me write.",
        "Guten Tag Ada Lindqvist, für die elf Lager von Nordlast sind 8 bis 12 % viel.",
        "Bonjour Ada, depuis Vienne nous voyons vos onze entrepôts et vos 1 200 000 € d'économies.",
        "Hello Ada, eleven warehouses near Breslau. Could we talk for 15 minutes on Tuesday?",
        "Здравствуйте, Ада! Мы в Вене читали про одиннадцать складов Nordlast.",
        "Hello Ada, your talk at Transport Days made me write.",
        'Hello Ada, "Nordlast" plans differently from most of those that I know and is called "the quick one" here.',
        "Hello Ada, would ca. 15 min. on Tuesday at Fair.Play suit you?".replace("Fair.Play", "Nordlast.AB"),
        "Hello Ada, LOGISTICS IS HARD. We in Poland's neighbourhood know. Best, Mira",
    ],
)
def test_what_a_source_says_may_be_said_otherwise(text: str) -> None:
    """In another language, spelling, unit or case."""
    assert check(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello Ada, your twelve hundred warehouses made me write.", "twelve hundred"),
        ("Hello Ada, you would save 11 percent with us.", "11 percent"),
        ("Hello Ada, we met at Transport Days.", "we met at"),
        ("Hello Ada, your work at Siemens made me write.", "Siemens"),
        ("Hello Marek, your work made me write.", "Marek"),
        ("Hello Ada,\nBetreff: Ihre Lager und wir.", "betreff:"),
        ("Hello Ada, your name is Ada.", None),
    ],
)
def test_what_no_source_says_is_named(text: str, words: str | None) -> None:
    """So that the model can repair it."""
    assert check(text) == words


def test_a_claim_proves_a_name_in_another_script_and_nothing_else() -> None:
    """The quote must stand in the source, and a number or a name in the same script is compared by itself."""
    lead = Lead(lead_id="a", name="أحمد المنصوري", company_name="مجموعة الخليج للتوزيع")
    text = "Hello Ahmed, your work at Gulf Distribution Group made me write to you."
    translated = Claim(words="Gulf Distribution Group", source="company_name", quote="مجموعة الخليج للتوزيع")

    assert check(text, lead=lead) is not None
    assert check(text, translated, lead=lead) is None
    assert check(text, translated.model_copy(update={"quote": "مجموعة أخرى"}), lead=lead) is not None
    assert (
        check("Hello Ada, your work at Siemens is fine.", Claim(words="Siemens", source="bio", quote="Speaker"))
        == "Siemens"
    )


def test_right_claims_are_kept_with_the_source_that_has_the_quote() -> None:
    """Wrong ones are left out and cost nothing."""
    claims = (
        Claim(words="eleven warehouses", source="bio", quote="Eleven  warehouses"),
        Claim(words="eleven warehouses", source="experience", quote="twelve warehouses"),
        Claim(words="not in it", source="experience", quote="eleven"),
    )
    message = Message(subject="Hello", message="Hello Ada, eleven warehouses are many.", claims=claims)

    unproven, kept = check_facts(message, PROMPTS, render(LEAD).text)

    assert unproven is None
    assert [(claim.words, claim.source) for claim in kept] == [("eleven warehouses", "experience")]


@pytest.mark.parametrize(
    ("asked", "words", "is_right"),
    [
        (None, 60, True),
        (None, 3, False),
        (None, 400, False),
        ("Write 120-150 words.", 280, True),
        ("Write 120-150 words.", 320, False),
        ("Höchstens 300 Wörter.", 500, True),
        ("One line of 10 words.", 6, True),
    ],
)
def test_a_length_far_from_what_is_asked_is_refused(asked: str | None, words: int, is_right: bool) -> None:  # noqa: FBT001
    """Up to twice the words asked for, else 5 to 260."""
    prompts = Prompts(message_prompt=asked)

    assert (check(" ".join(["word"] * words), prompts=prompts) is None) is is_right


def test_acquaintance_that_the_prompt_speaks_of_may_be_claimed() -> None:
    """As after a fair."""
    prompts = Prompts(message_prompt="We met these people at the LogiMAT trade fair. Mention it.")

    assert check("Hello Ada, it was good meeting you at LogiMAT.", prompts=prompts) is None


def test_words_of_the_instructions_are_a_leak_and_words_of_an_offer_are_not() -> None:
    """The template word by word, and orders of the message prompt."""
    prompts = Prompts(
        message_prompt="Write warm and plain, never use superlatives. Offer a call of fifteen minutes next week."
    )
    sentence = next(line for line in TEMPLATES["message"].splitlines() if line.startswith("- Write plainly"))[2:]

    assert check(f"Hello Ada. {sentence}", prompts=prompts) is not None
    assert check("Hello Ada, I write warm and plain, never use superlatives.", prompts=prompts) is not None
    assert check("Hello Ada, would a call of fifteen minutes next week suit you?", prompts=prompts) is None


@pytest.mark.parametrize(
    ("lead", "text"),
    [
        (Lead(lead_id="a", name="Icporo Mbeki"), "Hello Icporo, would a call suit you?"),
        (
            Lead(lead_id="a", name="Ada Rey", company_name="ICP Solar"),
            "Hello Ada, your work at ICP Solar made me write.",
        ),
        (Lead(lead_id="a", name="Ada Rey", bio="I train language models."), "Hello Ada, you train language models."),
        (Lead(lead_id="a", name="Ada Rey", title="Head of Lead Scoring"), "Hello Ada, how does lead scoring go?"),
    ],
)
def test_a_lead_may_be_named_as_or_work_on_what_is_a_leak_otherwise(lead: Lead, text: str) -> None:
    """Its own data is a source for that; the same words to another lead are a leak, unless they are part of a name."""
    assert check(text, lead=lead) is None


@pytest.mark.parametrize(
    "text",
    [
        "Hello Ada, the manual comes in Polish, Czech and Ukrainian, priced in Zloty.",
        "Hello Ada, between Thanksgiving and Easter, American and Swiss carriers run short of drivers.",
        "Hello Ada, last year's. We know how long planning takes.",
        "Guten Tag Ada, mit Herzblut und Geduld, aus Überzeugung und für Ordnung plant ein Team besser.",
        "Bonjour Ada, entre Noël et Pâques, les Allemands et les Polonais roulent moins.",
        "Hola Ada: entre Navidad y Semana Santa los muelles se llenan.",
        "Hallo Ada, de handleiding is in het Pools en met Kerst is het druk.",
        "Dzień dobry Ada, między Bożym Narodzeniem a Wielkanocą Polacy i Niemcy jeżdżą mniej.",
        "Здравствуйте, Ада! Под Новый год и на Пасху рампы забиты, и директор это знает.",
        "Добрий день, Ада! Великдень минув, рампи порожні.",
    ],
)
def test_languages_peoples_holidays_and_german_nouns_are_no_names(text: str) -> None:
    """They have capitals in some languages, and may be mentioned without a source."""
    assert check(text) is None


@pytest.mark.parametrize("text", ["Hello Ada, you fit our ICP.", "Hello Ada, as a language model I can't call."])
def test_speaking_of_scores_and_models_is_a_leak(text: str) -> None:
    """Where neither the lead's data nor the prompts row does."""
    assert check(text) is not None
