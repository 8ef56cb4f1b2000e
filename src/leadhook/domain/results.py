"""What the model said of a lead: a score, and from 50 up a message."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

CONTACT_FROM: Final = 50
"""The score from which on a subject and a message are written."""

INELIGIBLE: Final = "ineligible"
"""What subject and message say below `CONTACT_FROM`; front ends look for this word."""


class Score(BaseModel):
    """The first model answer."""

    model_config = ConfigDict(frozen=True)

    score: int = Field(ge=0, le=100)
    response: str
    should_contact: bool
    matched: tuple[str, ...] = ()
    """The criteria that are met, in a few words each."""
    missed: tuple[str, ...] = ()
    """Those that are not, or of which nothing is known."""
    flags: tuple[str, ...] = ()
    """Codes, noted by us: what in the lead's text looks like an attempt to steer the model."""


class Message(BaseModel):
    """The second model answer, or the word `ineligible` twice."""

    model_config = ConfigDict(frozen=True)

    subject: str
    message: str


class Usage(BaseModel):
    """Model calls and the tokens that they cost, summed over the calls of one lease."""

    model_config = ConfigDict(frozen=True)

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Sum two usages field by field."""
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


class Checkpoint(BaseModel):
    """Model answers that were paid for and are not yet written; they travel with renewal, release and refusal.

    They hold only for the lead and the `prompts` row that they were bought with. Another version of this program, with
    other templates, takes them over: a deploy buys nothing twice.
    """

    model_config = ConfigDict(frozen=True)

    prompt_version: str
    input_version: str
    prompts_digest: str | None = None
    """Of the `prompts` row alone; None: bought by a version that did not tell."""
    model: str
    score: Score
    message: Message | None = None
