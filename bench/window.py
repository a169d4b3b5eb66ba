"""An oracle for a sliding window, seen from outside: when a decision fell is known only within its round trip."""

import time
from collections import deque
from collections.abc import Callable


class Window:
    def __init__(self, *, amount: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.amount, self.seconds, self.clock = amount, seconds, clock
        self.judged = self.wrong = 0
        # (sent, answered) of each request that was admitted.
        self._admitted: deque[tuple[float, float]] = deque(maxlen=4 * amount)

    def judge(self, sent_at: float, *, is_admitted: bool) -> None:
        """Count a decision that fell between `sent_at` and now."""
        now = self.clock()
        self.judged += 1
        if is_admitted:
            # Certainly inside the window before it: even so there must be room.
            certain = sum(
                sent > now - self.seconds and answered <= sent_at for sent, answered in self._admitted
            )
            self.wrong += certain >= self.amount
            self._admitted.append((sent_at, now))
        else:
            possible = sum(answered > sent_at - self.seconds for _, answered in self._admitted)
            self.wrong += possible < self.amount
