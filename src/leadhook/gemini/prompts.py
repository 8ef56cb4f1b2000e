"""What is sent to the model: the stable part first and byte-identical, the lead last and fenced as data.

The stable part stands first because Gemini bills a repeated prefix at a tenth; the lead stands last, between lines with
a random code that its own text can't know, because it is scraped text that anybody may have written.
"""

import hashlib
import json
import re
import secrets
from importlib import resources
from typing import Final, Literal

from pydantic import JsonValue

from leadhook.domain.lead import Lead, Prompts

Step = Literal["score", "message"]

FIELD_LIMIT: Final = 8_000
"""Characters of one field of a lead that are sent; a longer one is cut and says so."""

NOT_GIVEN: Final = "(not given)"

TEMPLATES: Final[dict[Step, str]] = {
    step: (resources.files(__package__) / "templates" / f"{step}.txt").read_text(encoding="utf-8")
    for step in ("score", "message")
}


def system_instruction(step: Step, prompts: Prompts) -> str:
    """The part that is the same for every lead of one `prompts` row."""
    values = prompts.model_dump()
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]] or NOT_GIVEN, TEMPLATES[step])


def fenced_lead(lead: Lead) -> str:
    """The lead as `name: value` lines between two lines that carry the same random code."""
    code = secrets.token_hex(8)
    fields = lead.model_dump(exclude={"tag"})
    lines = [f"{name}: {_readable(value)}" for name, value in fields.items() if value not in (None, "", [], {})]
    return "\n".join([f"=== lead {code} ===", *lines, f"=== lead {code} ==="])


def prompt_version(prompts: Prompts, model: str) -> str:
    """16 hex digits that change with the templates, the `prompts` row or the model."""
    return _digest([TEMPLATES["score"], TEMPLATES["message"], prompts.model_dump_json(), model])


def input_version(lead: Lead) -> str:
    """16 hex digits that change with any field of the lead that a model may see."""
    return _digest([lead.model_dump_json()])


def _readable(value: JsonValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= FIELD_LIMIT:
        return text
    return f"{text[:FIELD_LIMIT]} [cut here: {len(text) - FIELD_LIMIT} more characters]"


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:16]
