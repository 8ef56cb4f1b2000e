"""Upper limits on what one lead can send and cost. Budgets reserve this amount before the first call.

A step is a score or a message. It takes one call, or two if the first answer was unusable (a repair, with the same
token limit) or cut off (with a higher limit). The most expensive step is therefore a first call and one with the higher
limit, and the most expensive lead takes two such steps.
"""

from typing import Final

from leadhook.domain.spend import BYTES_A_CHARACTER, CallLimits

MAX_CALLS_A_STEP: Final = 2

OUTPUT_TOKENS_FIRST: Final = 2_048
"""Limit for thoughts and answer together; a typical answer takes 200 to 400 tokens."""
OUTPUT_TOKENS_MORE_ROOM: Final = 4_096
"""Limit of the second call if the first answer was cut off."""

TEMPLATE_CHARACTERS: Final = 6_000
"""Maximum length of a template."""
PROMPTS_CHARACTERS: Final = 100_000
"""Maximum for the three texts of a `prompts` row together; a longer row is refused before any call."""
LEAD_CHARACTERS: Final = 12_000
"""Maximum for a rendered lead, fence included; longer text is cut and marked as cut."""

TEMPLATE_CHARACTERS_A_TOKEN: Final = 3
"""Of our own English; Google says about four."""
SCHEMA_TOKENS: Final = 500
"""More than the shape of an answer takes."""
REPAIR_TOKENS: Final = 1_000
"""More than it takes to say what was wrong with an answer; the answer itself goes back too."""


def call_limits() -> CallLimits:
    """Return them as budgets need them."""
    return CallLimits(
        calls=MAX_CALLS_A_STEP,
        fixed_tokens=TEMPLATE_CHARACTERS // TEMPLATE_CHARACTERS_A_TOKEN + SCHEMA_TOKENS,
        extra_tokens=OUTPUT_TOKENS_FIRST + REPAIR_TOKENS,
        output_tokens=OUTPUT_TOKENS_FIRST + OUTPUT_TOKENS_MORE_ROOM,
        lead_bytes=BYTES_A_CHARACTER * LEAD_CHARACTERS,
        prompts_bytes=BYTES_A_CHARACTER * PROMPTS_CHARACTERS,
    )
