"""What the database tells of itself with the replies of claim and sweep, for the metrics."""

from pydantic import BaseModel, ConfigDict


class Figures(BaseModel):
    """Counts end at 10,000. Any process's claim or sweep renews them, at most every 10 s."""

    model_config = ConfigDict(frozen=True)

    age_ms: int
    """How old they were when the reply was made."""
    jobs: dict[str, int]
    """By state, `done` left out."""
    oldest_ready_ms: dict[str, int]
    """How long the oldest claimable lead waits, by priority: `normal`, and `low` for replays and backlog."""
    outbox: int
    keys: dict[str, int]
    """`healthy`, `cooling`, `disabled`."""
