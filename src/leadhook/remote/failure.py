"""What goes wrong between the command line and the service, in words for a terminal."""


class RemoteError(Exception):
    """The service could not be asked, or refused."""


class AskedWrongError(RemoteError):
    """What was given on the command line or in its environment can't be used."""
