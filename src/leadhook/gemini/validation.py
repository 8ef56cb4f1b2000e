"""Validates model replies. Each problem has a code and a remedy: repeat, ask for a repair, or allow more tokens."""

import json
import re
from enum import StrEnum
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.results import Usage
from leadhook.gemini.answers import TOO_LONG, parse
from leadhook.gemini.client import Reply

Answer = TypeVar("Answer", bound=BaseModel)

BLOCKED: Final = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"})
"""Finish reasons of a blocked answer. Some blocks happen by chance, so each is asked again once."""

_A_REASON: Final = re.compile(r"[A-Z][A-Z_0-9]{0,39}")


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
