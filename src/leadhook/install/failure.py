"""Why the database could not be changed."""


class InstallError(Exception):
    """A sentence for the person at the terminal: what is wrong with the database, and what to do about it."""


class MisuseError(InstallError):
    """A sentence about how the command was called; nothing was changed."""
