"""Keeps services running: one that ends is started again, with a line that says so."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from saas.launcher.errors import LauncherError
from saas.launcher.say import say

# One that ends sooner than this after its start is started again only after a pause, which grows.
STEADY_SECONDS = 10
LONGEST_PAUSE_SECONDS = 30


class Service(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def is_running(self) -> bool: ...
    def start(self) -> None: ...
    def ask_to_stop(self, *, hurry: bool = False) -> None: ...
    def stop(self) -> None: ...


@dataclass
class Supervised:
    service: Service
    started_at: float = field(default_factory=time.monotonic)
    pause: float = 0
    noticed_at: float | None = None

    def tend(self) -> None:
        if self.service.is_running:
            self.noticed_at = None
            return
        now = time.monotonic()
        if self.noticed_at is None:
            self.noticed_at = now
            steady = now - self.started_at > STEADY_SECONDS
            self.pause = 0 if steady else min(max(1, self.pause * 2), LONGEST_PAUSE_SECONDS)
            say(
                f"{self.service.name} ended; starting it again{f' in {self.pause:g} s' if self.pause else ''}"
            )
        if now - self.noticed_at >= self.pause:
            self._start_again()

    def _start_again(self) -> None:
        self.noticed_at = None
        try:
            self.service.start()
        except LauncherError as error:
            say(f"{self.service.name} did not start: {error}")
        self.started_at = time.monotonic()


def supervise(services: Sequence[Service]) -> None:
    """Never returns; a signal's exception ends it."""
    supervised = [Supervised(service) for service in services]
    while True:
        for one in supervised:
            one.tend()
        time.sleep(0.2)
