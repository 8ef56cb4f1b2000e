"""Builds prompts: the constant part first and byte-identical, the lead last and fenced as data.

The constant part comes first because Gemini bills a repeated prefix at a tenth of the price. The lead comes last,
between lines with a random code that its text cannot know, because it is scraped text that anyone may have written.
"""

import hashlib
import json
import re
import secrets
from functools import lru_cache
from importlib import resources
from typing import Final

from leadhook.domain.failure import Failure, FailureClass
from leadhook.domain.lead import Lead, Prompts
from leadhook.gemini.limits import PROMPTS_CHARACTERS
from leadhook.gemini.parameters import Step, call_parameters, model_parameters, step_body
from leadhook.gemini.rendering import FIELDS

NOT_GIVEN: Final = "(not given)"

TEMPLATES: Final[dict[Step, str]] = {
    step: (resources.files(__package__) / "templates" / f"{step}.txt").read_text(encoding="utf-8")
    for step in ("score", "message")
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
