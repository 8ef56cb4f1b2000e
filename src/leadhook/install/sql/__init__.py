"""The installer's queries, one in each file."""

from functools import cache
from importlib.resources import files


@cache
def query(name: str) -> bytes:
    return (files(__name__) / f"{name}.sql").read_bytes()
