"""Figures for the metrics, which the database returns with the replies to claim and sweep."""

from pydantic import BaseModel, ConfigDict


class Figures(BaseModel):
    """Counted up to 10,000. Claims and sweeps of all processes update them, at most every 10 s."""

    model_config = ConfigDict(frozen=True)

    age_ms: int
    """Age of the figures at the time of the reply."""
    jobs: dict[str, int]
    """Number of jobs by state, without `done`."""
    oldest_ready_ms: dict[str, int]
    """Waiting time of the oldest claimable lead by priority, `normal` or `low`."""
    outbox: int
    keys: dict[str, int]
    """Number of keys by state: `healthy`, `cooling`, `disabled`."""
