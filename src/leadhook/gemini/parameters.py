"""All model parameters. They are part of the prompt version.

Temperature and similar parameters are not set, because models from 3.6 on reject them.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel

from leadhook.gemini.answers import MessageAnswer, ScoreAnswer
from leadhook.gemini.limits import OUTPUT_TOKENS_FIRST, OUTPUT_TOKENS_MORE_ROOM

Step = Literal["score", "message"]

SHAPES: Final[dict[Step, type[BaseModel]]] = {"score": ScoreAnswer, "message": MessageAnswer}

_THINKING_LEVEL: Final = "low"
"""Enough to compare a lead with criteria. All 3.x models support it; thoughts are billed as output."""
_THINKING_TOKENS: Final = 512
"""The equivalent for 2.x models, which have no levels: the smallest budget that all of them accept."""


def model_parameters(model: str) -> dict[str, Any]:
    """Return the parameters shared by all calls."""
    if model.startswith("gemini-2"):
        return {"thinking_budget": _THINKING_TOKENS}
    return {"thinking_level": _THINKING_LEVEL}


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


_SCHEMAS: Final[dict[Step, dict[str, Any]]] = {step: _bare(shape.model_json_schema()) for step, shape in SHAPES.items()}
_BODIES: Final[dict[Step, dict[str, Any]]] = {
    step: {"generationConfig": _Shared(responseJsonSchema=schema)} for step, schema in _SCHEMAS.items()
}
