"""The base of what is known: about leads, jobs and answers."""

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Values that never change. Unknown fields are ignored: a reply of the database may be newer than this program."""

    model_config = ConfigDict(frozen=True, defer_build=True)
