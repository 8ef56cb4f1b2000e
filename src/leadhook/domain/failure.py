"""Failures of the model (`Failure`) and of the database (`StoreError`), classified by what to do about them."""

import re
import traceback
from enum import StrEnum
from typing import Final, Literal

from leadhook.domain.results import Usage

StoreErrorKind = Literal["unavailable", "misconfigured", "caller_bug"]
"""`unavailable`: retry. `misconfigured`: a person must change something. `caller_bug`: the same call never succeeds."""

SETTINGS_REFUSED: Final = "model_settings_refused"
"""Code of a refusal that names parameters of the call, or quotes a lead's text that sounds like it."""
ALL_REFUSED: Final = "PT409"
"""leadhook_save's code if the application's tables refused three answers in a row with the same message."""
_TIMEOUTS: Final = ("57014", "timeout", "http_504")
_LOST_CONNECTIONS: Final = ("PGRST001", "disconnected", "08", "57P")
_WRONG_SETTINGS: Final = ("key_not_translated", "key_refused", "not_supabase")
_PAUSED: Final = ("http_540", "host_unknown")
_SQLSTATE: Final = re.compile("[0-9A-Z]{5}")
_ON_THE_WAY: Final = re.compile(r"http_4(?!08|25|29)\d\d|not_json")


class FailureClass(StrEnum):
    KEY = "key"
    """The Gemini key: it rests, the lead goes on with another one, and no attempt is spent."""
    TRANSIENT = "transient"
    """Temporary: retried later, an attempt is spent."""
    CONTENT = "content"
    """The lead's text, or the answer to it: the lead is dead, with the reason."""
    CONFIGURATION = "configuration"
    """The installation: claiming stops, and no attempt is spent."""
    REFUSED = "refused"
    """Google refused the request: for this lead's text, or for the installation's settings."""


class Failure(Exception):  # noqa: N818 - the domain's word; not always an error in our code
    """A step of a lead failed.

    Attributes:
        kind: the cause.
        code: stable, `snake_case`, low in cardinality; for logs, attempts and filters.
        reason: one sentence for a person, without secrets or text of a lead.
        park_s: for how long Google asks to wait, in seconds; class `key`: infinite if only a changed row can help.
        again_s: class `key` only: how long the key rests at least if it fails again right after that.
        for_model: class `key` only: it is about this model alone; another one may be used with the key.
        usage: what the failed step used.
    """

    def __init__(
        self,
        kind: FailureClass,
        code: str,
        reason: str,
        *,
        park_s: float | None = None,
        again_s: float | None = None,
        for_model: str | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(f"{code}: {reason}")
        self.kind = kind
        self.code = code
        self.reason = reason
        self.park_s = park_s
        self.again_s = again_s
        self.for_model = for_model
        self.usage = usage if usage is not None else Usage()

    @property
    def answered(self) -> bool:
        """The model answered a call, so the lead is the cause; a `prompts` row that is too long causes no call."""
        return self.kind == FailureClass.CONTENT and self.usage.calls > 0

    @property
    def paid(self) -> bool:
        """A call was answered and paid for, and the answer is unusable."""
        return self.code.startswith("answer_") or self.usage.input_tokens + self.usage.output_tokens > 0


def unexpected(error: Exception, usage: Usage) -> Failure:
    """Return the failure of a step by a defect: where it was raised. Its message may hold a lead's text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return Failure(FailureClass.TRANSIENT, "unexpected_error", f"{type(error).__name__}{place}", usage=usage)


class StoreError(Exception):
    """The database could not be reached, or refused the call.

    Attributes:
        kind: what to do about it.
        code: the SQLSTATE, PostgREST's code, or a `snake_case` code of leadhook.
        reason: one sentence for a person, without secrets and without the application's own words.
        said: the database's message. An application's trigger may quote personal data in it, so it is only stored.
    """

    def __init__(self, kind: StoreErrorKind, code: str, reason: str, said: str | None = None) -> None:
        super().__init__(f"{code}: {reason}")
        self.kind: Final = kind
        self.code: Final = code
        self.reason: Final = reason
        self.said: Final = said or reason

    @property
    def timed_out(self) -> bool:
        """Whether the call took too long; fewer leads in a call may help."""
        return self.code in _TIMEOUTS

    @property
    def may_concern_one_lead(self) -> bool:
        """Whether the application's own code, such as a trigger, may have raised it for one lead only.

        Everything else affects all leads: the network, the gateway, the key, a table of leadhook's own.
        """
        if self.code == ALL_REFUSED or breaks_own_constraint(self.code):
            return False
        return self.timed_out or self.connection_lost or bool(_SQLSTATE.fullmatch(self.code))

    @property
    def refused_on_the_way(self) -> bool:
        """Whether something between leadhook and the database refused the call.

        A firewall may have done so because of one lead's text. A limit on the rate of calls concerns all.
        """
        return bool(_ON_THE_WAY.fullmatch(self.code))

    @property
    def connection_lost(self) -> bool:
        """Whether the database's process ended during the call, by a restart or because of the call."""
        return self.code.startswith(_LOST_CONNECTIONS)

    @property
    def may_be_paused(self) -> bool:
        """Whether Supabase reports a paused project, or the project's name is gone, as it is after a pause."""
        return self.code in _PAUSED

    @property
    def wrong_settings(self) -> bool:
        """Whether SUPABASE_URL or its key is wrong."""
        return self.code in _WRONG_SETTINGS


def breaks_own_constraint(code: str) -> bool:
    """Whether a constraint of leadhook's own tables is violated, or a sequence has reached its end.

    Errors of the application's tables are outcomes of their leads instead.
    """
    return code.startswith("23") or code == "2200H"
