import threading
import time
from collections.abc import Callable
from enum import StrEnum


class State(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


class CircuitOpen(Exception):
    """The guarded service is taken for dead; nothing was sent to it."""


class Breaker:
    """A circuit breaker for one service and one process; safe between threads.

    From the first failure on it lets one call at a time through, so that a frozen service holds up one thread
    and not all of them. After `failures_to_open` failures in a row it refuses every call for `open_seconds`.
    `on_change` is told whether the breaker is closed; it runs under the lock, so it must be quick.
    """

    def __init__(
        self,
        *,
        failures_to_open: int = 3,
        open_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[bool], None] | None = None,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._open_seconds = open_seconds
        self._clock = clock
        self._on_change = on_change
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at: float | None = None
        self._open_until = 0.0
        self._is_probing = False

    @property
    def state(self) -> State:
        if self._failures == 0:
            return State.CLOSED
        if self._failures >= self._failures_to_open and self._clock() < self._open_until:
            return State.OPEN
        return State.HALF_OPEN

    def failed_within(self, seconds: float) -> bool:
        """Whether a call failed in the last `seconds`, whatever became of later ones."""
        return self._failed_at is not None and self._clock() < self._failed_at + seconds

    def enter(self) -> bool:
        """Ask to make a call; raises CircuitOpen. The answer, whether it is a probe, goes to `leave`."""
        if self._failures == 0:
            return False
        with self._lock:
            state = self.state
            if state is State.CLOSED:
                return False
            if state is State.OPEN or self._is_probing:
                raise CircuitOpen
            self._is_probing = True
            return True

    def leave(self, *, is_probe: bool, answered: bool | None) -> None:
        """Report a call that `enter` let through; None when it ended without a verdict on the service."""
        if answered and not is_probe:
            # One that began before the trouble and came back late says nothing about now.
            return
        with self._lock:
            before = self.state
            if is_probe:
                self._is_probing = False
            if answered:
                self._failures = 0
            elif answered is False:
                self._record_failure(before)
            is_closed = self._failures == 0
            if self._on_change and is_closed is not (before is State.CLOSED):
                self._on_change(is_closed)

    def _record_failure(self, before: State) -> None:
        self._failed_at = self._clock()
        # Stragglers from before the opening must not push the reopening further away.
        if before is State.OPEN:
            return
        self._failures += 1
        if self._failures >= self._failures_to_open:
            self._open_until = self._clock() + self._open_seconds
