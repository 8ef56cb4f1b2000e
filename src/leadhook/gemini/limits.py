"""The most that one lead can make us send and buy; what a budget must set aside before the first call.

A step is a score or a message. It takes one call; a second one where the first answer was no good (a repair, with as
much room as before) or was cut off (more room). So the dearest step is a first call and one with more room, and the
dearest lead takes two such steps.
"""

from typing import Final

STEPS: Final = 2
MAX_CALLS_A_STEP: Final = 2

OUTPUT_TOKENS_FIRST: Final = 2_048
"""Room for thoughts and answer together; an answer of ours takes 200 to 400 tokens."""
OUTPUT_TOKENS_MORE_ROOM: Final = 4_096
"""Room of the second call where the first answer was cut off."""

TEMPLATE_CHARACTERS: Final = 6_000
"""No template is longer."""
PROMPTS_CHARACTERS: Final = 100_000
"""The three texts of a `prompts` row together; a longer row is refused before anything is bought."""
LEAD_CHARACTERS: Final = 12_000
"""A lead as it is sent, its fence included; what is longer is cut, and the text says so."""


def output_tokens_a_step() -> int:
    """The most tokens that one step can buy: thoughts and answers of both calls."""
    return OUTPUT_TOKENS_FIRST + OUTPUT_TOKENS_MORE_ROOM
