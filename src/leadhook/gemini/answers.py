"""The answer models: complete JSON of the requested shape, within length limits, without text Postgres cannot store.

LangChain's parser is not used because it turns a truncated message into a valid one. Nothing is truncated here: an
answer that is too long is requested again. Length limits are checked here only, because Google's schemas have no string
lengths.
"""

import json
import re
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from leadhook.domain.results import INELIGIBLE, Message, Score
from leadhook.gemini.sanitize import strip_invisible

Answer = TypeVar("Answer", bound=BaseModel)

RESPONSE_CHARACTERS: Final = 4_000
SUBJECT_CHARACTERS: Final = 200
MESSAGE_CHARACTERS: Final = 4_000
CRITERIA: Final = 12
CRITERION_CHARACTERS: Final = 300
TOO_LONG: Final = "too_long"
"""Pydantic error type for a value above its length limit."""

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _whole(value: object) -> object:
    """Accept 85.0 like 85, because JSON has one number type, but neither True nor "85"."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("not_a_number", "must be a number")
    return value


def _capped(most: int) -> AfterValidator:
    def check(text: str) -> str:
        text = strip_invisible(text).strip()
        if not text:
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


Whole = BeforeValidator(_whole)
Criteria = Annotated[list[Annotated[str, _capped(CRITERION_CHARACTERS)]], Field(max_length=CRITERIA)]


class ScoreAnswer(BaseModel):
    """The answer of the score step, in the prompt's field names. The evidence comes before the score it leads to."""

    model_config = ConfigDict(extra="ignore")

    MATCHED: Criteria
    MISSED: Criteria
    RESPONSE: Annotated[str, _capped(RESPONSE_CHARACTERS)]
    SCORE: Annotated[int, Field(ge=0, le=100), Whole]
    SHOULD_CONTACT: Annotated[Literal[0, 1], Whole]

    def to_domain(self) -> Score:
        """Convert to the domain model."""
        return Score(
            score=self.SCORE,
            response=self.RESPONSE,
            should_contact=self.SHOULD_CONTACT == 1,
            matched=tuple(self.MATCHED),
            missed=tuple(self.MISSED),
        )


class MessageAnswer(BaseModel):
    """The answer of the message step, in the prompt's field names."""

    model_config = ConfigDict(extra="ignore")

    SUBJECT: Annotated[str, AfterValidator(_one_line), _capped(SUBJECT_CHARACTERS), AfterValidator(_written)]
    MESSAGE: Annotated[str, _capped(MESSAGE_CHARACTERS), AfterValidator(_written)]

    def to_domain(self) -> Message:
        """Convert to the domain model."""
        return Message(subject=self.SUBJECT, message=self.MESSAGE)


def parse(text: str, shape: type[Answer]) -> Answer:
    """Parse one answer.

    Raises:
        ValueError: not complete JSON, or not of this shape (pydantic's ValidationError is a ValueError).
    """
    try:
        value = json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return shape.model_validate(_storable(value))


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
