"""Limits the time of a shutdown: which model calls may still start, and when running ones are cancelled."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from leadhook.engine.timing import Timing


class Shutdown:
    """Does nothing until `begin`."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._cut_off_at = math.inf
        self._calls: set[anyio.CancelScope] = set()

    @property
    def begun(self) -> bool:
        return self._cut_off_at < math.inf

    def begin(self, seconds: float) -> None:
        """Claim no more, and cancel model calls that take too long for the last lead to be released in this time."""
        if self.begun:
            return
        self._cut_off_at = anyio.current_time() + seconds - min(self._timing.give_back_s, seconds / 4)
        for call in self._calls:
            call.deadline = self._cut_off_at

    def allows_call(self) -> bool:
        """Whether a model call that starts now would end in time."""
        return anyio.current_time() + self._timing.model_call_s <= self._cut_off_at

    @contextmanager
    def call(self) -> Iterator[anyio.CancelScope]:
        """Wrap a model call; the scope's `cancelled_caught` says that the shutdown cancelled it."""
        with anyio.CancelScope(deadline=self._cut_off_at) as scope:
            self._calls.add(scope)
            try:
                yield scope
            finally:
                self._calls.discard(scope)
