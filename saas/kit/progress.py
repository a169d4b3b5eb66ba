"""A bar on standard error; where that is no terminal, a line for every tenth."""

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
WIDTH = 40


class Progress:
    def __init__(self, what: str, total: int, *, show: bool = True) -> None:
        self.what, self.total, self.done = what, total, 0
        self._show, self._drawn = show, -1
        self._parts = 100 if sys.stderr.isatty() else 10

    def over(self, things: Iterable[T]) -> Iterator[T]:
        for thing in things:
            yield thing
            self.done += 1
            if self._show and self._part() != self._drawn:
                self._draw()

    def _part(self) -> int:
        return self.done * self._parts // self.total

    def _draw(self) -> None:
        self._drawn = self._part()
        full = self.done * WIDTH // self.total
        start, end = ("\r", "") if sys.stderr.isatty() else ("", "\n")
        bar = "█" * full + "·" * (WIDTH - full)
        sys.stderr.write(f"{start}{self.what:14} {bar} {self.done:,}/{self.total:,}{end}")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._show and sys.stderr.isatty():
            sys.stderr.write("\n")
