"""The questions that the installer asks of the catalog, each in its own file."""

from functools import cache
from importlib.resources import files


@cache
def question(name: str) -> bytes:
    """The text of `<name>.sql` in this folder."""
    return (files(__name__) / f"{name}.sql").read_bytes()
