"""What went wrong decides what happens next: to the lead, to the key and to the service."""

from enum import StrEnum

from leadhook.domain.results import Usage


class FailureClass(StrEnum):
    """Who is to blame for a failed step."""

    KEY = "key"
    """The Gemini key: park it, the lead goes back at once, no attempt is spent."""
    TRANSIENT = "transient"
    """Nobody: again later, an attempt is spent."""
    CONTENT = "content"
    """This lead's text or the answer to it: dead, with the reason."""
    CONFIGURATION = "configuration"
    """The installation: stop claiming, say so, burn no lead."""


class Failure(Exception):  # noqa: N818 - the domain's word; it is not always an error of ours
    """A step of a lead failed.

    Attributes:
        kind: who is to blame.
        code: stable and low in cardinality, `snake_case`, for logs, attempts and filters.
        reason: one sentence for a person. Never holds a secret or text of a lead.
        park_s: class `key` only: how long the key rests, in seconds; None means until its row changes.
        usage: what the step cost all the same.
    """

    def __init__(
        self,
        kind: FailureClass,
        code: str,
        reason: str,
        *,
        park_s: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(f"{code}: {reason}")
        self.kind = kind
        self.code = code
        self.reason = reason
        self.park_s = park_s
        self.usage = usage if usage is not None else Usage()
