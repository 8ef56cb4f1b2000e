"""What a generateContent request asks for: the step, the lead in it, the criteria, the limits."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

Step = Literal["score", "message", "text"]

_FIELD: Final = re.compile(
    r"""(?im)^[ \t"'*>-]{0,20}(lead_id|tag|name|title|location|company_name|experience|skills|bio|profile_url"""
    r"""|linkedin_url|company_page_url)["'*]{0,3}[ \t]*[:=]"""
)
_MISSING: Final = {"", "-", "null", "none", "n/a", "unknown"}
_FENCE: Final = re.compile(r"(?m)^[ \t]*(```|===|---|<)")
_VALUE_LIMIT: Final = 2_000


class BadRequest(Exception):  # noqa: N818 - it is Google's word
    """Google answers such a request with 400 INVALID_ARGUMENT and this text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A request, understood."""

    step: Step
    required: tuple[str, ...]
    system: str
    text: str
    lead: dict[str, str]
    turns: int
    max_output_tokens: int | None
    thinking: str | int | None
    system_hash: str
    config_hash: str


def read(body: bytes) -> Reading:
    """Understand a request's body.

    Raises:
        BadRequest: as the real service would refuse it.
    """
    try:
        return _read(_parse(body))
    except (AttributeError, TypeError):
        raise BadRequest("Invalid value at a field of the request.") from None


def _read(request: dict[str, Any]) -> Reading:
    contents = request.get("contents")
    if not isinstance(contents, list) or not contents:
        raise BadRequest("* GenerateContentRequest.contents: contents is not specified\n")
    if contents[-1].get("role") == "model":
        raise BadRequest("Please ensure that multiturn requests end with a user turn.")
    system = request.get("systemInstruction") or request.get("system_instruction") or {}
    config = request.get("generationConfig") or request.get("generation_config") or {}
    text = "\n".join(_text(content) for content in contents if content.get("role", "user") == "user")
    properties = _properties(config)
    return Reading(
        step="score" if "SCORE" in properties else "message" if "SUBJECT" in properties else "text",
        required=tuple(properties),
        system=_text(system),
        text=text,
        lead=lead_of(text),
        turns=len(contents),
        max_output_tokens=config.get("maxOutputTokens"),
        thinking=_thinking(config.get("thinkingConfig") or {}),
        system_hash=_hash(system),
        config_hash=_hash(config),
    )


def lead_of(text: str) -> dict[str, str]:
    """Find the lead's fields in lines `name: value`; it ends at the next field or fence, the first one counts."""
    marks = list(_FIELD.finditer(text))
    edges = [*(mark.start() for mark in marks), len(text)]
    found: dict[str, str] = {}
    for mark, end in zip(marks, edges[1:], strict=True):
        value = _bare(text[mark.end() : min(end, mark.end() + _VALUE_LIMIT)])
        if value.lower() not in _MISSING:
            found.setdefault(mark[1].lower(), value)
    return found


def _bare(value: str) -> str:
    bare = _FENCE.split(value, maxsplit=1)[0].strip().removesuffix(",")
    quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'"
    return bare[1:-1] if quoted else bare


def _parse(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"Invalid JSON payload received. {error}") from None
    if not isinstance(request, dict):
        raise BadRequest("Invalid JSON payload received. Unknown name.")
    return request


def _text(content: dict[str, Any]) -> str:
    return "\n".join(part.get("text", "") for part in content.get("parts") or ())


def _properties(config: dict[str, Any]) -> dict[str, Any]:
    schema = config.get("responseJsonSchema") or config.get("responseSchema") or {}
    return schema.get("properties") or {}


def _thinking(config: dict[str, Any]) -> str | int | None:
    level = config.get("thinking_level") or config.get("thinkingLevel")
    budget = config.get("thinking_budget", config.get("thinkingBudget"))
    return level.lower() if isinstance(level, str) else budget


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
