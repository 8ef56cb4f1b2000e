"""A shutdown in bounded time: what may still begin, and when what runs is cut off."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Drain:
    """Not under way until `begin`."""

    def __init__(self, *, model_call_s: float, give_back_s: float) -> None:
        self._model_call_s = model_call_s
        self._give_back_s = give_back_s
        self._cut_off_at = math.inf
        self._calls: set[anyio.CancelScope] = set()

    @property
    def under_way(self) -> bool:
        """Whether the service is ending."""
        return self._cut_off_at < math.inf

    def begin(self, seconds: float) -> None:
        """From now on no lead is claimed; model calls that last too long for the time left are cut off.

        Args:
            seconds: until the last lead must have been given back.
        """
        if self.under_way:
            return
        self._cut_off_at = anyio.current_time() + seconds - min(self._give_back_s, seconds / 4)
        for call in self._calls:
            call.deadline = self._cut_off_at

    def allows_call(self) -> bool:
        """Whether a model call that begins now can end in time."""
        return anyio.current_time() + self._model_call_s <= self._cut_off_at

    @contextmanager
    def call(self) -> Iterator[anyio.CancelScope]:
        """Around each model call; the scope tells whether the shutdown cut it off."""
        with anyio.CancelScope(deadline=self._cut_off_at) as scope:
            self._calls.add(scope)
            try:
                yield scope
            finally:
                self._calls.discard(scope)
