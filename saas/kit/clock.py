"""The one clock that decisions of ours read; a test moves it in one place."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def from_timestamp(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
