"""What a run cost, and what two runs in turn say of each other."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# Of /proc/PID/stat behind the name: utime, stime, and those of children that have ended.
TIMES = slice(11, 15)
PARENT = 1


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several figures, and how far they lie apart."""

    median: float
    lowest: float
    highest: float

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.lowest:{spec}}–{self.highest:{spec}})"


def spread(figures: Sequence[float]) -> Spread:
    return Spread(median(figures), min(figures), max(figures))


def ratios(measured: Sequence[float], reference: Sequence[float]) -> Spread:
    """Each figure over the one measured in the same round."""
    return spread([one / other for one, other in zip(measured, reference, strict=True)])


def cpu_seconds(root: int) -> float:
    """CPU time of a process and all below it, those that have ended and been waited for included."""
    ticks = 0
    for pid in family(root):
        try:
            ticks += sum(map(int, _status(pid)[TIMES]))
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended since; its parent has its times now, or a moment later.
    return ticks / TICKS_A_SECOND


def family(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_status(int(entry.name))[PARENT]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def resident_megabytes(pid: int) -> float:
    """A process's resident memory, what it shares with others included."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def parent_of(pid: int) -> int:
    return int(_status(pid)[PARENT])


def _status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the program's name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


class Meter:
    """Reads CPU times of named process trees before and after."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = roots
        self._before = self._read()

    def _read(self) -> dict[str, float]:
        return {name: cpu_seconds(pid) for name, pid in self._roots.items()}

    def spent(self) -> dict[str, float]:
        """Seconds since it was made, by name."""
        return {name: now - self._before[name] for name, now in self._read().items()}


def microseconds_a_request(seconds: Mapping[str, float], requests: int) -> dict[str, float]:
    return {name: 1e6 * spent / requests for name, spent in seconds.items()}


def medians(figures: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The median of each name over all rounds."""
    rounds = list(figures)
    return {name: median(each[name] for each in rounds) for name in rounds[0]}
