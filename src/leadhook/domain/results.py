"""The model's answers about a lead: a score and, from 50 up, a message."""

from typing import Final

from pydantic import Field

from leadhook.domain.facts import Facts

CONTACT_FROM: Final = 50
"""The minimum score for a subject and a message."""

LARGEST_JUMP: Final = 15
"""By so much may free text raise the score of a lead whose text looks like an attempt to manipulate the model."""
UNCONFIRMED: Final = "unconfirmed_score"
"""Flag of a score that was kept below `CONTACT_FROM` because it was not confirmed without the free text."""

INELIGIBLE: Final = "ineligible"
"""Subject and message below `CONTACT_FROM`; front ends compare with this word."""


class Score(Facts):
    """The first model answer."""

    score: int = Field(ge=0, le=100)
    response: str
    should_contact: bool
    matched: tuple[str, ...] = ()
    """The criteria that are met, each in a few words."""
    missed: tuple[str, ...] = ()
    """The criteria that are not met or unknown."""
    flags: tuple[str, ...] = ()
    """leadhook's codes for text of the lead that looks like an attempt to manipulate the model."""
    checked: bool = False
    """Whether it was compared with the score without the lead's free text."""

    @property
    def needs_check(self) -> bool:
        """Whether it is high and the lead's text may have made it so."""
        return bool(self.flags) and self.score >= CONTACT_FROM and not self.checked

    def compared_with(self, without: "Score") -> "Score":
        """Return this score if the one without the lead's free text confirms it; else the other, below contact."""
        if self.score - without.score <= LARGEST_JUMP:
            return self.model_copy(update={"checked": True})
        return self.held_back(f"it is {without.score} instead of {self.score} without the lead's free text", without)

    def held_back(self, reason: str, other: "Score | None" = None) -> "Score":
        """Return a score below `CONTACT_FROM` whose response begins with the reason."""
        shown = other or self
        words = f"Kept below {CONTACT_FROM}: the lead's text looks like an attempt to steer the score, and {reason}."
        return shown.model_copy(
            update={
                "score": min(shown.score, CONTACT_FROM - 1),
                "should_contact": False,
                "response": f"{words} {shown.response}",
                "flags": (*self.flags, UNCONFIRMED),
                "checked": True,
            }
        )


class Claim(Facts):
    """A fact in a message and where it stands."""

    words: str
    """As the message puts it."""
    source: str
    """A field of the lead, `company data` or `message prompt`."""
    quote: str
    """The words there."""


class Message(Facts):
    """The second model answer, or the word `ineligible` twice."""

    subject: str
    message: str
    claims: tuple[Claim, ...] = ()
    """Those of the model's claims whose quote stands in its source."""


class MessageFailure(Facts):
    """Why a paid score is saved without a message: a `Failure.code` and its sentence."""

    code: str
    reason: str


class Usage(Facts):
    """The number of model calls and their tokens, summed over one lease."""

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    unmetered: int = 0
    """Of the calls, those that were or may have been billed, with token counts that are not known."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


class Checkpoint(Facts):
    """Model answers that are paid for but not saved yet; renewals, releases and refusals carry them.

    They are valid only for the lead and the `prompts` row that they were bought with. Another version of this program
    uses them even if its templates differ, so that a deploy buys nothing twice.
    """

    prompt_version: str
    input_version: str
    prompts_digest: str | None = None
    """Digest of the `prompts` row alone; None: bought by a version that did not record it."""
    model: str
    score: Score
    attempts_before: int = 0
    """Attempts of its run that were spent before the score was bought."""
    message: Message | None = None

    @property
    def lacks_message(self) -> bool:
        """Whether the score is paid for and the message, which it calls for, is not."""
        return self.message is None and self.score.score >= CONTACT_FROM
