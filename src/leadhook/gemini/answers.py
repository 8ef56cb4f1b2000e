"""What counts as an answer: complete JSON of the asked shape, cleaned of what Postgres can't store.

LangChain's own parser is not used: it repairs a message that was cut off in the middle into a valid one.
"""

import json
import re
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from leadhook.domain.verdict import Message, Score

Answer = TypeVar("Answer", bound=BaseModel)

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class ScoreAnswer(BaseModel):
    """The first answer, by the names that the model is asked for."""

    model_config = ConfigDict(extra="ignore")

    SCORE: int = Field(ge=0, le=100)
    RESPONSE: str = Field(min_length=1)
    SHOULD_CONTACT: Literal[0, 1]

    def to_domain(self) -> Score:
        """The same in our words."""
        return Score(score=self.SCORE, response=self.RESPONSE, should_contact=self.SHOULD_CONTACT == 1)


class MessageAnswer(BaseModel):
    """The second answer, by the names that the model is asked for."""

    model_config = ConfigDict(extra="ignore")

    SUBJECT: str = Field(min_length=1)
    MESSAGE: str = Field(min_length=1)

    def to_domain(self) -> Message:
        """The same in our words."""
        return Message(subject=self.SUBJECT, message=self.MESSAGE)


def parse(text: str, shape: type[Answer]) -> Answer:
    """Read one answer.

    Raises:
        ValueError: it is not complete JSON, or not of the shape (pydantic's ValidationError is a ValueError).
    """
    return shape.model_validate(_storable(json.loads(text, strict=False)))


def _storable(value: Any) -> Any:
    match value:
        case str():
            return _UNSTORABLE.sub(lambda found: "" if found[0] == "\0" else "\N{REPLACEMENT CHARACTER}", value)
        case dict():
            return {key: _storable(item) for key, item in value.items()}
        case list():
            return [_storable(item) for item in value]
        case _:
            return value
