"""Reads the model's answers: complete JSON of the requested shape, within length limits, which Postgres can store.

The answer is the one object in the text that fits the shape, whatever surrounds it, because a paid answer in a fence is
still an answer. LangChain's parser is not used because it turns a truncated message into a valid one. Nothing is
truncated here: an answer that is too long is requested again. Length limits are checked here only, because Google's
schemas have no string lengths. Each problem has a code and a remedy: repeat, ask for a repair, or allow more tokens.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.results import INELIGIBLE, Claim, Message, Score, Usage
from leadhook.gemini.sanitize import says_nothing, strip_invisible

Answer = TypeVar("Answer", bound=BaseModel)

RESPONSE_CHARACTERS: Final = 4_000
SUBJECT_CHARACTERS: Final = 200
MESSAGE_CHARACTERS: Final = 4_000
CRITERIA: Final = 12
CRITERION_CHARACTERS: Final = 300
CLAIMS: Final = 8
CLAIM_CHARACTERS: Final = 300
LONGEST_ANSWER: Final = 200_000
"""Characters of the longest JSON object that is read; the fields of an answer may have 15,000, each escaped as six."""
MOST_FAILURES: Final = 200
"""So many places of a text may look like the start of an object and be none."""
TOO_LONG: Final = "too_long"
"""Pydantic error type for a value above its length limit."""

BLOCKED: Final = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"})
"""Finish reasons of a blocked answer. Some blocks happen by chance, so each is asked again once."""

_A_REASON: Final = re.compile(r"[A-Z][A-Z_0-9]{0,39}")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_START: Final = re.compile(r'\{(?=\s*["}])')
_ESCAPED_OBJECT: Final = re.compile(r'\{[^{"\\]{0,100}\\"(?:[^"\\]|\\.)*')
_NOT_A_LETTER: Final = re.compile(r"[\s-]+")
_NUMBER: Final = re.compile(r"\s*(\d{1,3})(?:[.,]0+)?(?:\s*(?:/|out of)\s*100|\s*%)?\.?\s*")
_YES_OR_NO: Final = {"true": 1, "yes": 1, "1": 1, "1.0": 1, "false": 0, "no": 0, "0": 0, "0.0": 0}
_LONGEST_INTEGER: Final = 20


def _integer(digits: str) -> float:
    """Read a longer integer as a float, because Python refuses thousands of digits, which models do repeat."""
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


_DECODER: Final = json.JSONDecoder(strict=False, parse_int=_integer)


def _whole(value: object) -> object:
    """Accept 85.0 and "85" like 85, but not True: a score of 1 is not what it says."""
    if isinstance(value, str) and (number := _NUMBER.fullmatch(value)):
        return int(number[1])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("not_a_number", "must be a number")
    return value


def _yes_or_no(value: object) -> object:
    """Accept true and "true" like 1."""
    word = str(value).strip().lower()
    if word not in _YES_OR_NO:
        raise PydanticCustomError("not_yes_or_no", "must be 0 or 1")
    return _YES_OR_NO[word]


def _without_empty_items(value: object) -> object:
    if value is None or isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return value
    return [
        item
        for item in value
        if item is not None and not (isinstance(item, str) and says_nothing(strip_invisible(item)))
    ]


def _capped(most: int) -> AfterValidator:
    def check(text: str) -> str:
        text = strip_invisible(text).strip()
        if says_nothing(text):
            raise PydanticCustomError("says_nothing", "must not be empty")
        if len(text) > most:
            raise PydanticCustomError(TOO_LONG, "must have at most {most} characters", {"most": most})
        return text

    return AfterValidator(check)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _written(text: str) -> str:
    if text.strip(" .\"'").lower() == INELIGIBLE:
        raise PydanticCustomError("says_nothing", "must be written: the score decided that this lead gets a message")
    return text


def _claims(value: object) -> list[str]:
    """Drop whatever is not a claim: a missing or wrong list does not make the message unusable."""
    items = value if isinstance(value, list) else []
    texts = [" | ".join(map(str, item.values())) if isinstance(item, dict) else item for item in items]
    return [
        strip_invisible(text)
        for text in texts
        if isinstance(text, str) and text.count("|") == 2 and len(text) <= CLAIM_CHARACTERS  # noqa: PLR2004 - three parts
    ][:CLAIMS]


def _to_claim(text: str) -> Claim:
    words, source, quote = (part.strip() for part in text.split("|"))
    return Claim(words=words, source=source.lower(), quote=quote)


Criteria = Annotated[
    list[Annotated[str, _capped(CRITERION_CHARACTERS)]],
    Field(max_length=CRITERIA),
    BeforeValidator(_without_empty_items),
]


class ScoreAnswer(BaseModel):
    """The answer of the score step, in the prompt's field names. The evidence comes before the score it leads to."""

    model_config = ConfigDict(extra="ignore")

    MATCHED: Criteria
    MISSED: Criteria
    RESPONSE: Annotated[str, _capped(RESPONSE_CHARACTERS)]
    SCORE: Annotated[int, Field(ge=0, le=100), BeforeValidator(_whole)]
    SHOULD_CONTACT: Annotated[Literal[0, 1], BeforeValidator(_yes_or_no)]

    def to_domain(self) -> Score:
        return Score(
            score=self.SCORE,
            response=self.RESPONSE,
            should_contact=self.SHOULD_CONTACT == 1,
            matched=tuple(self.MATCHED),
            missed=tuple(self.MISSED),
        )


class MessageAnswer(BaseModel):
    """The answer of the message step, in the prompt's field names. CLAIMS is asked for; an answer counts without it."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"required": ["SUBJECT", "MESSAGE", "CLAIMS"]})

    SUBJECT: Annotated[str, AfterValidator(_one_line), _capped(SUBJECT_CHARACTERS), AfterValidator(_written)]
    MESSAGE: Annotated[str, _capped(MESSAGE_CHARACTERS), AfterValidator(_written)]
    CLAIMS: Annotated[list[str], BeforeValidator(_claims)] = Field(default_factory=list)

    def to_domain(self) -> Message:
        return Message(subject=self.SUBJECT, message=self.MESSAGE, claims=tuple(map(_to_claim, self.CLAIMS)))


@dataclass(frozen=True, slots=True)
class Reply:
    """One model reply. The answer is complete only if `finish_reason` is `STOP`."""

    text: str
    finish_reason: str | None
    block_reason: str | None
    """Set if Google refused the prompt."""
    usage: Usage


class Remedy(StrEnum):
    """How the second call differs from the first."""

    REPAIR = "repair"
    """It includes the answer and a description of the problem."""
    MORE_ROOM = "more_room"
    AGAIN = "again"
    """It is the same call, because there was no usable answer to repair."""


class Unusable(Exception):  # noqa: N818 - not an error yet: the answer may be asked for again
    """An answer that can't be used; another call may help.

    Attributes:
        code: as `Failure.code`.
        words: the problem, without text from the answer, which may quote the lead.
        remedy: how the second call should differ.
        kind: the failure class if the second call fails too.
        quoted: the words of the answer that are wrong; only the model sees them.
    """

    def __init__(
        self, code: str, words: str, remedy: Remedy, kind: FailureClass = FailureClass.CONTENT, *, quoted: str = ""
    ) -> None:
        super().__init__(f"{code}: {words}")
        self.code = code
        self.words = words
        self.remedy = remedy
        self.kind = kind
        self.quoted = quoted

    def as_failure(self, usage: Usage) -> Failure:
        """Return the failure. Only a transient one is not asked for again here."""
        twice = "" if self.kind == FailureClass.TRANSIENT else " twice"
        sentence = (
            f"{self.words},{twice}"
            if self.code.endswith("_blocked")
            else f"The model's answer was unusable{twice}: {self.words}"
        )
        return Failure(self.kind, self.code, f"{sentence}.", usage=usage)


def read_reply(reply: Reply, shape: type[Answer]) -> Answer:
    """Return the validated answer in a reply. A complete answer counts whatever the finish reason.

    Raises:
        Unusable: another call may help.
    """
    try:
        return parse(reply.text, shape)
    except ValueError as error:
        fault = _fault(error)
    _check_end(reply)
    raise fault


def _check_end(reply: Reply) -> None:
    """Raise Unusable if the reply itself says why it holds no answer."""
    if reply.block_reason is not None:
        raise Unusable("prompt_blocked", f"Google blocked the prompt ({_known(reply.block_reason)})", Remedy.AGAIN)
    if reply.finish_reason in BLOCKED:
        raise Unusable("answer_blocked", f"Google blocked the answer ({reply.finish_reason})", Remedy.AGAIN)
    if reply.finish_reason == "MAX_TOKENS":
        if reply.text:
            raise Unusable("answer_cut_off", "it was cut off at the token limit", Remedy.MORE_ROOM)
        raise Unusable("answer_all_thoughts", "thinking used up the token limit", Remedy.MORE_ROOM)
    if reply.finish_reason is None and not reply.text:
        raise Unusable("answer_missing", "there was no answer", Remedy.AGAIN, FailureClass.TRANSIENT)
    if reply.finish_reason != "STOP":
        words = f"it did not end properly (finish reason {_known(reply.finish_reason)})"
        raise Unusable("answer_unfinished", words, Remedy.AGAIN, FailureClass.TRANSIENT)
    if not reply.text.strip():
        raise Unusable("answer_empty", "it was empty", Remedy.AGAIN, FailureClass.TRANSIENT)


def _fault(error: ValueError) -> Unusable:
    if isinstance(error, ValidationError):
        faults = error.errors(include_url=False, include_input=False)
        code = "answer_too_long" if all(fault["type"] == TOO_LONG for fault in faults) else "answer_wrong_shape"
        words = "; ".join(f"{'.'.join(str(part) for part in fault['loc']) or 'it'}: {fault['msg']}" for fault in faults)
        return Unusable(code, words, Remedy.REPAIR)
    if isinstance(error, json.JSONDecodeError):
        words = f"it is not complete JSON ({error.msg} at character {error.pos})"
        return Unusable("answer_not_json", words, Remedy.REPAIR)
    return Unusable("answer_not_json", "it is not one JSON object of the requested shape", Remedy.REPAIR)


def _known(reason: str | None) -> str:
    """Return the reason only if it has the form of Google's own codes; other text is not repeated."""
    return reason if reason and _A_REASON.fullmatch(reason) else "unknown"


def parse(text: str, shape: type[Answer]) -> Answer:
    """Return the one answer in a text. The same answer twice is one; two different ones can't be decided.

    Raises:
        ValueError: there is none, or more than one. If an object comes close, pydantic's ValidationError (a ValueError)
            says what is wrong with it.
    """
    fitting: list[Answer] = []
    faults: list[ValidationError] = []
    for objects in _objects(text, list(shape.model_fields)):
        for value in objects:
            try:
                answer = shape.model_validate(_storable(value))
            except ValidationError as error:
                faults.append(error)
            else:
                fitting += [answer] if answer not in fitting else []
        if fitting:
            break
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ValueError("several different answers")
    if faults:
        raise min(faults, key=ValidationError.error_count)
    try:
        return shape.model_validate(_DECODER.decode(text))
    except RecursionError:
        raise ValueError("nested too deep") from None


def _objects(text: str, names: list[str]) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield every complete JSON object in a text, the outer ones first; then those in JSON that was encoded twice."""
    yield _objects_in(text, names)
    if '\\"' in text:
        yield (value for found in _ESCAPED_OBJECT.findall(text) for value in _objects_in(_decoded(found), names))


def _objects_in(text: str, names: list[str]) -> Iterator[dict[str, Any]]:
    end = failures = 0
    last: int | None = None
    # A model that repeats brackets must not cost seconds of CPU: no answer starts after the last field name, a failure
    # costs at most the longest answer, and no real text has many.
    while (found := _START.search(text, end)) and failures < MOST_FAILURES:
        start = found.start()
        if last is None and end > 0:
            last = max((name.start() for name in _name(*names).finditer(text)), default=0)
        if last is not None and start >= last:
            return
        try:
            value, length = _DECODER.raw_decode(text[start : start + LONGEST_ANSWER])
        except (ValueError, RecursionError):
            end, failures = start + 1, failures + 1
        else:
            end = start + length
            yield from _with_nested(value)


@cache
def _name(*names: str) -> re.Pattern[str]:
    return re.compile("|".join(name.replace("_", r"[\s_-]+") for name in names), re.IGNORECASE)


def _with_nested(value: Any) -> Iterator[dict[str, Any]]:
    rest = [value]
    while rest:
        match rest.pop():
            case dict() as found:
                yield {_NOT_A_LETTER.sub("_", name).upper(): value for name, value in reversed(found.items())}
                rest.extend(found.values())
            case list() as items:
                rest.extend(items)


def _decoded(escaped: str) -> str:
    try:
        return str(_DECODER.decode(f'"{escaped[: escaped.rfind("}") + 1]}"'))
    except ValueError:
        return ""


def _storable(answer: Any) -> Any:
    """Replace lone surrogates, which Postgres cannot store. Invisible characters are removed later, per field."""
    match answer:
        case str():
            return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", answer)
        case list():
            return [_storable(item) if isinstance(item, str) else item for item in answer]
        case dict():
            return {
                name: _storable(value) if isinstance(value, str | list) else value for name, value in answer.items()
            }
        case _:
            return answer
