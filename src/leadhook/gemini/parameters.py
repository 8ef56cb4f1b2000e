"""How the model is set, here and nowhere else; what stands here is part of the prompt's version.

Temperature and its kin are left to Google: models from 3.6 on refuse them.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel

from leadhook.gemini.answers import MessageAnswer, ScoreAnswer
from leadhook.gemini.limits import OUTPUT_TOKENS_FIRST, OUTPUT_TOKENS_MORE_ROOM

Step = Literal["score", "message"]

SHAPES: Final[dict[Step, type[BaseModel]]] = {"score": ScoreAnswer, "message": MessageAnswer}

_THINKING_LEVEL: Final = "low"
"""Enough to weigh a lead against criteria; every 3.x model knows it, and thoughts are billed as output."""
_THINKING_TOKENS: Final = 512
"""The same for models 2.x, which know no level; the least that all of them take."""


def model_parameters(model: str) -> dict[str, Any]:
    """What is set once, for every call of the model."""
    if model.startswith("gemini-2"):
        return {"thinking_budget": _THINKING_TOKENS}
    return {"thinking_level": _THINKING_LEVEL}


def step_parameters(step: Step, *, more_room: bool = False) -> dict[str, Any]:
    """What is set for a call of this step; with more room where an answer was cut off."""
    return {
        "response_mime_type": "application/json",
        "response_json_schema": _SCHEMAS[step],
        "max_output_tokens": OUTPUT_TOKENS_MORE_ROOM if more_room else OUTPUT_TOKENS_FIRST,
    }


def _bare(schema: Any) -> Any:
    """Without pydantic's titles and our docstrings: they are not for the model, and are paid for."""
    if not isinstance(schema, dict):
        return schema
    return {name: _bare(value) for name, value in schema.items() if name not in {"title", "description"}}


_SCHEMAS: Final[dict[Step, dict[str, Any]]] = {step: _bare(shape.model_json_schema()) for step, shape in SHAPES.items()}
