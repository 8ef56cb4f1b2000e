"""What a request finds: built once by the application's lifespan, typed, instead of globals."""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypedDict

from leadhook.observability.ring_sum import RingSum
from leadhook.store import ReplayReply
from leadhook.web.auth import Admins, RingAuth
from leadhook.web.rate import TokenBucket
from leadhook.web.readiness import Readiness


class Bell(Protocol):
    """The part of the engine that the web needs."""

    def ring(self, hints: Iterable[str] = ()) -> None:
        """There may be work."""


class Replayer(Protocol):
    """The part of the store that a replay needs."""

    async def replay(self, lead_ids: Sequence[str], actor: str, reason: str | None = None) -> ReplayReply:
        """Have leads judged again."""


class State(TypedDict):
    """The application's state."""

    bell: Bell
    replayer: Replayer
    ring_auth: RingAuth
    late_rings: TokenBucket
    ring_sum: RingSum
    admins: Admins
    readiness: Readiness
