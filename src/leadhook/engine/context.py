"""What all parts of the engine use."""

from dataclasses import dataclass, field

from leadhook.domain.failure import StoreError
from leadhook.domain.ports import Scorer, Store
from leadhook.domain.spend import Tariff
from leadhook.engine.health import Faults, Part
from leadhook.engine.timing import Timing
from leadhook.observability.observer import Observer


@dataclass(frozen=True)
class EngineContext:
    """The adapters, and values that do not change while the engine runs."""

    store: Store
    scorer: Scorer
    worker_name: str
    """The name of this process, which the database records with every lease."""
    tariff: Tariff | None = None
    """None if the model's price is unknown."""
    injection_check: bool = True
    """Whether a high score of a lead that looks manipulative is confirmed by a second one."""
    timing: Timing = field(default_factory=Timing)
    observer: Observer = field(default_factory=Observer)
    faults: Faults = field(default_factory=Faults)

    def report(self, part: Part, error: StoreError, **fields: object) -> None:
        """Record that a part fails. Log it with these fields unless it already failed in the same way."""
        if self.faults.add(part, error):
            self.observer.failed(part, error, **fields)
