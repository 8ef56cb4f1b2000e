"""Builds the corpora of `tests/messages`: true messages, and messages with one planted fault.

No model wrote them. Parts are written by hand and put together: greeting, opening, middle, end and signature. Three
parts: "first", by which rules are written; "held back", every third lead and fault; "later", written after the rules.

`python -m tests.support.messages` prints how many are checked correctly; with `--missed`, also the others.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from tomllib import loads
from typing import Any, Final

from tests.conftest import ROOT

from leadhook.domain.lead import Lead, Prompts
from leadhook.domain.results import Message
from leadhook.gemini.facts import check_facts
from leadhook.gemini.guardrails import check_message
from leadhook.gemini.rendering import render

_DATA: Final = ROOT / "tests" / "messages"
_SAMPLE: Final = ROOT / "src" / "leadhook" / "local" / "sample_data" / "sample.json"
_MIDDLES_AN_OPENING: Final = 3
_NOT_LATIN: Final = frozenset({"ru", "uk", "zh", "ja", "ko", "ar", "hi"})
SCRIPTS: Final = {
    "ru": "Cyrillic", "uk": "Cyrillic", "zh": "Han", "ja": "Kana", "ko": "Hangul", "ar": "Arabic", "hi": "Devanagari",
}  # fmt: skip

_LATIN: Final = {
    "王伟 (Wei Wang)": ("Wei Wang", ""),
    "田中 ゆき": ("Yuki Tanaka", ""),
    "عمر حداد": ("Omar Haddad", ""),
    "Дмитрий Соколов": ("Dmitry Sokolov", "Volga-Plast"),
    "李娜": ("Li Na", "Donghai"),
    "Ольга Мельник": ("Olha Melnyk", "Halytska Pekarnia"),
    "محمد العتيبي": ("Mohammed Al-Otaibi", "Al Nakheel"),
    "김민준": ("Minjun Kim", "Hanbit"),
    "Иван Петров": ("Ivan Petrov", "Uralsnab"),
    "陈志强": ("Chen Zhiqiang", "Nanshan"),
    "أحمد المنصوري": ("Ahmed Al Mansouri", "Gulf Distribution Group"),
    "Александра Ким": ("Alexandra Kim", "Step Logistik"),
    "王晓梅": ("Wang Xiaomei", "Jiangnan"),
    "Kavita Deshpande": ("Kavita Deshpande", ""),
}
"""Names as a message in Latin script has them: first and last name, company."""

LEAD: Final = Lead(
    lead_id="a",
    name="Ada Lindqvist",
    title="CTO",
    location="Wrocław, Poland",
    company_name="Nordlast Logistics AB",
    experience="eleven warehouses since 2017, 1.2 million euros saved",
    bio="Speaker at Transport Days.",
)
"""The lead of messages that are about one rule."""


@dataclass(frozen=True)
class Case:
    """One message; `kind` is "true" or the planted fault."""

    kind: str
    language: str
    lead: Lead
    prompts: Prompts
    message: Message
    part: str
    planted: str = ""


def true_messages() -> Iterator[Case]:
    """Yield each opening with three different ends."""
    turn = count()
    for place, entry in enumerate(_leads()):
        for language, openings in entry["say"].items():
            for opening in openings:
                for _ in range(_MIDDLES_AN_OPENING):
                    yield _case(entry, language, opening, next(turn), part=_part(place))
    yield from _planted_in(_faults("later"), "later", only_true=True)


def planted_messages() -> Iterator[Case]:
    """Yield each fault in the message of a lead, at different places."""
    yield from _planted_in(_faults("faults"), None)
    yield from _planted_in(_faults("later"), "later")


def wordings() -> Iterator[Case]:
    """Yield each sentence of `wordings.toml` in a message to one lead; `part` says when it was written."""
    lead = LEAD.model_copy(update={"bio": "Visitor of Transport Days."})
    prompts = Prompts(
        wildnet_data="Kessel & Ray, Vienna. 8 to 12 percent fewer kilometres. Founded by two dispatchers.",
        message_prompt="Sign as Mira. Be warm.",
    )
    around, *parts = _faults("wordings").items()
    for part, kinds in parts:
        for kind, by_language in kinds.items():
            for language, sentences in by_language.items():
                for sentence in sentences:
                    greeting, rest = around[1][language]
                    text = f"{greeting}\n\n{sentence} {rest}\n\nMira"
                    message = Message(subject="Nordlast", message=text)
                    yield Case(kind, language, lead, prompts, message, part, sentence)


def _part(place: int) -> str:
    return "held back" if place % 3 == 2 else "first"


def _planted_in(
    sentences_of: dict[str, dict[str, list[str]]], part: str | None, *, only_true: bool = False
) -> Iterator[Case]:
    turn = count()
    for kind, by_language in sentences_of.items():
        if (kind == "true") != only_true:
            continue
        for language, sentences in by_language.items():
            speakers = [
                entry for entry in _leads() if language in entry["say"] and entry["lead"].company_name is not None
            ]
            for place, sentence in enumerate(sentences):
                entry = speakers[place % len(speakers)]
                yield _planted(kind, language, sentence, entry, next(turn), part=part or _part(place))


def _planted(kind: str, language: str, sentence: str, entry: dict[str, Any], turn: int, *, part: str) -> Case:
    others = [other for other in _leads() if other["lead"].name and _of_script(other, language) and other != entry]
    _, _, other = _names(others[turn % len(others)]["lead"], language)
    first, company, _ = _names(entry["lead"], language)
    other_first = other if language == "zh" else other.split()[0]
    planted = sentence
    for slot, words in (("other_first", other_first), ("other", other), ("first", first), ("company", company)):
        planted = planted.replace(f"{{{slot}}}", words)
    opening = entry["say"][language][turn % len(entry["say"][language])]
    case = _case(entry, language, opening, turn, part=part)
    greeting, body, *rest = case.message.message.split("\n\n")
    is_greeting = kind == "other_lead" and "{other" in sentence[:24] and turn % 2 == 0
    text = [planted, body, *rest] if is_greeting else [greeting, f"{planted} {body}", *rest]
    if turn % 3 == 1 and not is_greeting:
        text = [greeting, f"{body} {planted}", *rest]
    message = Message(subject=case.message.subject, message="\n\n".join(text))
    return Case(kind, language, case.lead, case.prompts, message, part, planted)


def _of_script(entry: dict[str, Any], language: str) -> bool:
    """Report whether the lead's name is in the script of the language, as another lead's name would be."""
    letters = {"ru": "[\u0430-\u044f]", "zh": "[\u4e00-\u9fff]", "ar": "[\u0600-\u06ff]"}.get(language, "[a-z]")
    return re.search(letters, entry["lead"].name) is not None


def _case(entry: dict[str, Any], language: str, opening: str, turn: int, *, part: str) -> Case:
    phrases, row = _phrases(), entry.get("row", "kessel")
    first, company, name = _names(entry["lead"], language)
    last = name.split()[-1] if name else ""

    def pick(kind: dict[str, list[str]], shift: int) -> str:
        of_language = kind[language]
        return of_language[(turn + shift) % len(of_language)]

    def filled(text: str) -> str:
        return text.format(first=first, last=last, name=name, company=company)

    greeting = filled(pick(phrases["greetings"], 0)) if name else pick(phrases["greetings"], 0).split(" {")[0] + ","
    signature = phrases["signatures"][row][turn % len(phrases["signatures"][row])]
    body = f"{opening} {pick(phrases['middles'][row], turn // 3)}"
    text = [greeting, body, pick(phrases["ends"], turn // 2), signature]
    subjects = [subject for subject in phrases["subjects"][language] if company or "{company}" not in subject]
    message = Message(subject=filled(subjects[turn % len(subjects)]), message="\n\n".join(text))
    return Case("true", language, entry["lead"], _prompts()[row], message, part)


def _names(lead: Lead, language: str) -> tuple[str, str, str]:
    """First name, company and whole name, as a message in this language writes them."""
    name, company = lead.name or "", lead.company_name or ""
    if language not in _NOT_LATIN and name in _LATIN:
        latin_name, latin_company = _LATIN[name]
        name, company = latin_name, latin_company or company
    name = re.sub(r"\(.*?\)|[\U0001f300-\U0001faff]|^(?:Dr|Sr)\.", "", name).strip()
    name = " ".join(name.split())
    first = name if re.match("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]", name) else (name.split() or [""])[0]
    if lead.name == "Kavita Deshpande" and language == "hi":
        first = "कविता जी"
    return first, company, name


@cache
def _leads() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = loads((_DATA / "leads.toml").read_text(encoding="utf-8"))["leads"]
    sample = json.loads(_SAMPLE.read_text(encoding="utf-8"))
    shipped = {lead["lead_id"]: lead for lead in sample["leads"]} | {"one_more": sample["one_more"]}
    for place, entry in enumerate(entries):
        fields = shipped[entry["sample"]] if "sample" in entry else entry["lead"]
        entry["lead"] = Lead.model_validate({"lead_id": str(place), **fields})
    return entries


@cache
def _phrases() -> dict[str, Any]:
    return loads((_DATA / "phrases.toml").read_text(encoding="utf-8"))


@cache
def _faults(name: str) -> dict[str, dict[str, Any]]:
    return loads((_DATA / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def _prompts() -> dict[str, Prompts]:
    sample = json.loads(Path(_SAMPLE).read_text(encoding="utf-8"))["prompts"]
    return {
        "kessel": Prompts.model_validate(sample),
        "altamar": Prompts.model_validate(_phrases()["rows"]["altamar"]),
    }


def judge(case: Case) -> str | None:
    """The code with which a message is refused, or None."""
    code = check_message(case.message, case.prompts, case.lead)
    if code is None and (unproven := check_facts(case.message, case.prompts, render(case.lead).text)[0]) is not None:
        code = unproven.code
    return code


def is_right(case: Case) -> bool:
    """Whether a true message goes out and a planted fault does not."""
    return (judge(case) is None) == (case.kind == "true")


def _print_rates() -> None:
    cases = [*true_messages(), *planted_messages(), *wordings()]
    wrong = [case for case in cases if not is_right(case)]
    for part in dict.fromkeys(case.part for case in cases):
        sys.stdout.write(f"\n{part}\n")
        for kind, total in Counter(case.kind for case in cases if case.part == part).items():
            right = total - sum(case.kind == kind and case.part == part for case in wrong)
            sys.stdout.write(f"  {kind:20} {right:4} of {total:4} right ({right / total:.1%})\n")
    if "--missed" in sys.argv:
        for case in wrong:
            sys.stdout.write(f"{case.kind} {case.language} {judge(case)}: {case.planted or case.message}\n")


if __name__ == "__main__":
    _print_rates()
