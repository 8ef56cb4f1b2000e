"""A question before what can't be taken back, or costs money."""

import sys


class NotConfirmedError(Exception):
    """The answer was no; nothing was changed."""


class NobodyToAskError(Exception):
    """There is no terminal to ask at, and no --yes."""


def confirm(question: str, remedy: str) -> None:
    """Ask on the terminal; returns when the answer is yes.

    Args:
        question: what is asked.
        remedy: the option that stands for a yes, as a sentence.

    Raises:
        NotConfirmedError: any other answer.
        NobodyToAskError: standard input is no terminal.
    """
    if not sys.stdin.isatty():
        raise NobodyToAskError(f"nothing was changed: there is no terminal to ask at. {remedy}")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise NotConfirmedError("nothing was changed")
