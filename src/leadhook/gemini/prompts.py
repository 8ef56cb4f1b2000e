"""What a call sends: the constant part of the prompt first and byte-identical, the lead last and fenced as data.

The constant part comes first because Gemini bills a repeated prefix at a tenth of the price. The lead comes last,
between lines with a random code that its text cannot know, because it is scraped text that anyone may have written.
Temperature and similar parameters are not set, because models from 3.6 on reject them.
"""

import hashlib
import json
import re
import secrets
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal

from pydantic import BaseModel

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.lead import Lead, Prompts
from leadhook.gemini.answers import MessageAnswer, ScoreAnswer
from leadhook.gemini.limits import OUTPUT_TOKENS_FIRST, OUTPUT_TOKENS_MORE_ROOM, PROMPTS_CHARACTERS
from leadhook.gemini.rendering import FIELDS

Step = Literal["score", "message"]

SHAPES: Final[dict[Step, type[BaseModel]]] = {"score": ScoreAnswer, "message": MessageAnswer}

_THINKING_LEVEL: Final = "low"
"""Enough to compare a lead with criteria. All 3.x models support it; thoughts are billed as output."""
_THINKING_TOKENS: Final = 512
"""The equivalent for 2.x models, which have no levels: the smallest budget that all of them accept."""
NOT_GIVEN: Final = "(not given)"

TEMPLATES: Final[dict[Step, str]] = {
    step: (resources.files(__package__) / "templates" / f"{step}.txt").read_text(encoding="utf-8") for step in SHAPES
}


@lru_cache(maxsize=64)
def system_instruction(step: Step, prompts: Prompts) -> str:
    """Return the prompt part shared by all leads of one `prompts` row.

    Raises:
        Failure: the row is too long.
    """
    values = {name: _storable(value) for name, value in prompts.model_dump().items()}
    if sum(map(len, values.values())) > PROMPTS_CHARACTERS:
        # The exact length is unknown here, because a claim truncates each text.
        reason = (
            f"The three texts of the prompts row have more than {PROMPTS_CHARACTERS} characters together: "
            "shorten them to continue with its leads."
        )
        raise Failure(FailureClass.CONTENT, "prompts_too_long", reason)
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]].strip() or NOT_GIVEN, TEMPLATES[step])


def fenced(rendered: str) -> str:
    """Enclose a rendered lead in two lines with the same random code."""
    fence = f"=== lead {secrets.token_hex(8)} ==="
    return f"{fence}\n{rendered}\n{fence}"


@lru_cache(maxsize=64)
def prompt_version(prompts: Prompts, model: str) -> str:
    """Return 16 hex digits that change with the templates, the `prompts` row, the model, its parameters or FIELDS."""
    settings = {
        "model": model,
        "parameters": [model_parameters(model), call_parameters(), step_body("score"), step_body("message")],
        "fields": FIELDS,
    }
    return _digest([*TEMPLATES.values(), prompts.model_dump_json(), json.dumps(settings, sort_keys=True)])


def input_version(lead: Lead) -> str:
    """Return 16 hex digits that change with any field of the lead that is sent."""
    return _digest([lead.model_dump_json(include=set(FIELDS))])


def _storable(text: str | None) -> str:
    return (text or "").encode("utf-8", "replace").decode()


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def model_parameters(model: str) -> dict[str, Any]:
    """Return the parameters shared by all calls."""
    is_old = model.startswith("gemini-2")
    return {"thinking_budget": _THINKING_TOKENS} if is_old else {"thinking_level": _THINKING_LEVEL}


def call_parameters(*, more_room: bool = False) -> dict[str, Any]:
    """Return the parameters of one call, with a higher token limit if the previous answer was cut off."""
    return {
        "response_mime_type": "application/json",
        "max_output_tokens": OUTPUT_TOKENS_MORE_ROOM if more_room else OUTPUT_TOKENS_FIRST,
    }


def step_body(step: Step) -> dict[str, Any]:
    """Return what is added to the request's body: the schema of the answer.

    Given as a parameter instead, the SDK would parse the answer itself. Where a model repeats brackets or digits
    without end, that raises and the token counts of a paid call are lost.
    """
    return _BODIES[step]


class _Shared(dict[str, Any]):
    """A part of all requests that nothing changes. The libraries would copy it, value by value, twice a call."""

    def __deepcopy__(self, _: object) -> "_Shared":
        return self


def _bare(schema: Any) -> Any:
    """Remove pydantic's titles and our docstrings, which the model does not need and which cost tokens."""
    if not isinstance(schema, dict):
        return schema
    return {name: _bare(value) for name, value in schema.items() if name not in {"title", "description"}}


_BODIES: Final[dict[Step, dict[str, Any]]] = {
    step: {"generationConfig": _Shared(responseJsonSchema=_bare(shape.model_json_schema()))}
    for step, shape in SHAPES.items()
}
