"""Errors that end a command with a message."""


class CommandError(Exception):
    """A message for the person at the terminal: what happened and what to do. The command prints it and exits.

    Attributes:
        exit_code: 1 if the command failed, 2 if arguments or settings are wrong (docs/commands.md).
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class MisuseError(CommandError):
    """The command was called with wrong arguments or settings; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=2)
