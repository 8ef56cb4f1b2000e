"""Why a command could not tell what it was asked."""


class TerminalError(Exception):
    """A sentence for the person at the terminal: what is wrong, and what to do about it."""
