"""The flags of a verdict in words: what in a lead's text looks like an attempt to steer the model."""

from collections.abc import Iterable
from typing import Final

FLAGS: Final = {
    "gives_orders": "tells the reader to ignore instructions, rules or criteria",
    "asks_for_score": "names the score that it wants",
    "fake_turn": "looks like a turn of a conversation with a model",
    "role_play": "tells the model who it is now",
    "asks_for_secrets": "asks for the prompt, keys or the company's data",
    "plants_link": "asks for a link or address in the message",
    "dictates_answer": "spells out the answer, or how to answer",
    "closes_fence": "claims that the lead's data end there",
    "encoded_text": "holds base64 or other encoded text",
    "invisible_characters": "hides words with characters that no reader sees",
}


def flag_words(codes: Iterable[str]) -> tuple[str, ...]:
    """The lead's text …; a code that a newer service wrote stays as it is."""
    return tuple(FLAGS.get(code, code) for code in codes)
