"""What counts as an answer: complete JSON of the asked shape, within the caps, cleaned of what Postgres can't store.

LangChain's own parser is not used: it repairs a message that was cut off in the middle into a valid one. Nothing is cut
here either: an answer that is too long is asked for again. The caps are checks of ours and stand in no schema, because
Google's schemas know no lengths of strings.
"""

import json
import re
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from leadhook.domain.results import INELIGIBLE, Message, Score
from leadhook.gemini.cleaning import clean

Answer = TypeVar("Answer", bound=BaseModel)

RESPONSE_CHARACTERS: Final = 4_000
SUBJECT_CHARACTERS: Final = 200
MESSAGE_CHARACTERS: Final = 4_000
CRITERIA: Final = 12
CRITERION_CHARACTERS: Final = 300
TOO_LONG: Final = "too_long"
"""Pydantic's kind of error for an answer beyond its cap."""

_HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")


def _whole(value: object) -> object:
    """JSON has one kind of number, so 85.0 is as whole as 85; True and "85" are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("not_a_number", "must be a number")
    return value


def _capped(most: int) -> AfterValidator:
    def check(text: str) -> str:
        text = clean(text).strip()
        if not text:
            raise PydanticCustomError("says_nothing", "must say something")
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
    """The first answer, by the names that the model is asked for; the evidence stands before what follows from it."""

    model_config = ConfigDict(extra="ignore")

    MATCHED: Criteria
    MISSED: Criteria
    RESPONSE: Annotated[str, _capped(RESPONSE_CHARACTERS)]
    SCORE: Annotated[int, Field(ge=0, le=100), Whole]
    SHOULD_CONTACT: Annotated[Literal[0, 1], Whole]

    def to_domain(self) -> Score:
        """The same in our words."""
        return Score(
            score=self.SCORE,
            response=self.RESPONSE,
            should_contact=self.SHOULD_CONTACT == 1,
            matched=tuple(self.MATCHED),
            missed=tuple(self.MISSED),
        )


class MessageAnswer(BaseModel):
    """The second answer, by the names that the model is asked for."""

    model_config = ConfigDict(extra="ignore")

    SUBJECT: Annotated[str, AfterValidator(_one_line), _capped(SUBJECT_CHARACTERS), AfterValidator(_written)]
    MESSAGE: Annotated[str, _capped(MESSAGE_CHARACTERS), AfterValidator(_written)]

    def to_domain(self) -> Message:
        """The same in our words."""
        return Message(subject=self.SUBJECT, message=self.MESSAGE)


def parse(text: str, shape: type[Answer]) -> Answer:
    """Read one answer.

    Raises:
        ValueError: it is not complete JSON, or not of the shape (pydantic's ValidationError is a ValueError).
    """
    try:
        value = json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return shape.model_validate(_storable(value))


def _storable(answer: Any) -> Any:
    """Half of a surrogate pair can't be stored; what can't be seen goes later, field by field."""
    match answer:
        case str():
            return _HALF_A_PAIR.sub("\N{REPLACEMENT CHARACTER}", answer)
        case list():
            return [_storable(item) if isinstance(item, str) else item for item in answer]
        case dict():
            return {
                name: _storable(value) if isinstance(value, str | list) else value for name, value in answer.items()
            }
        case _:
            return answer
