"""What `/ready` may say of the engine."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Health:
    """The engine at one moment.

    Attributes:
        running: between start and end.
        claiming: leads are being claimed as they become due.
        draining: the service is ending.
        last_claim_ok_at: when the database last answered a claim, by this machine's clock.
        fault: what keeps it from its work, in words; the oldest where there are several.
        fault_code: the same for machines.
        since: from when on.
        in_flight: leads that are being judged.
        held: those and the ones that wait to be written.
        hints_dropped: since the start; the sweep finds what they named.
    """

    running: bool
    claiming: bool
    draining: bool
    last_claim_ok_at: datetime | None
    fault: str | None
    fault_code: str | None
    since: datetime | None
    in_flight: int
    held: int
    hints_dropped: int
