"""The one clock that decisions of ours read; a test moves it in one place."""

import time
from datetime import UTC, datetime, timedelta


def now() -> datetime:
    return datetime.now(UTC)


def from_timestamp(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class ServerClock:
    """A server's clock, as it was told last and has gone on since: our own may be wrong, or step."""

    def __init__(self) -> None:
        self._told: tuple[datetime, float] | None = None

    def tell(self, moment: datetime) -> None:
        self._told = moment, time.monotonic()

    def now(self) -> datetime:
        """Our own clock's, before anything was told."""
        if self._told is None:
            return now()
        moment, at = self._told
        return moment + timedelta(seconds=time.monotonic() - at)
