"""What every part of the engine works with."""

from dataclasses import dataclass, field

from leadhook.domain.failure import StoreError
from leadhook.domain.ports import Scorer, Store
from leadhook.domain.spend import Tariff
from leadhook.engine.health import Faults, Part
from leadhook.engine.timing import Timing
from leadhook.observability.observer import Observer


@dataclass(frozen=True)
class EngineContext:
    """The adapters, and facts that do not change while the engine runs.

    Attributes:
        worker_name: this process, as the database records it with every lease.
        tariff: None where the price of the model is not known.
        faults: shared by all parts; read by `Engine.health`.
    """

    store: Store
    scorer: Scorer
    worker_name: str
    tariff: Tariff | None = None
    timing: Timing = field(default_factory=Timing)
    observer: Observer = field(default_factory=Observer)
    faults: Faults = field(default_factory=Faults)

    def report(self, part: Part, error: StoreError, **fields: object) -> None:
        """Record that a part fails; log it, with these fields, if it did not fail like this before."""
        if self.faults.add(part, error):
            self.observer.failed(part, error, **fields)
