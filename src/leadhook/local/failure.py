"""Why the local stack could not do what it was asked."""


class LocalStackError(Exception):
    """A sentence for the person at the terminal: what failed, and what to do about it."""
