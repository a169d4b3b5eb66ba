"""Where wrk is missing: sends prepared requests in turn over keep-alive connections, in a process of its own.

python -m bench.client PORT FILE CONNECTIONS SECONDS
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

LENGTH = b"content-length:"


class Tally:
    def __init__(self) -> None:
        self.sent = self.refused = self.broken = 0
        self.milliseconds: list[float] = []

    def summary(self, seconds: float) -> dict[str, float]:
        cuts = quantiles(self.milliseconds, n=100) if len(self.milliseconds) > 1 else [0.0] * 99
        return {
            "requests": len(self.milliseconds),
            "seconds": seconds,
            "sent": self.sent,
            "refused": self.refused,
            "broken": self.broken,
            "p50": cuts[49],
            "p95": cuts[94],
            "p99": cuts[98],
        }


async def run(port: int, requests: list[bytes], connections: int, seconds: float) -> dict[str, float]:
    tally, turn = Tally(), itertools.cycle(requests)
    started = time.perf_counter()
    until = started + seconds
    await asyncio.gather(*(_connection(port, turn, until, tally) for _ in range(connections)))
    return tally.summary(time.perf_counter() - started)


async def _connection(port: int, turn: Iterator[bytes], until: float, tally: Tally) -> None:
    while time.perf_counter() < until:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while (started := time.perf_counter()) < until:
                tally.sent += 1
                writer.write(next(turn))
                status = await _answer(reader)
                tally.milliseconds.append(1e3 * (time.perf_counter() - started))
                tally.refused += status >= 400
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            tally.broken += 1


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(LENGTH):
            await reader.readexactly(int(line[len(LENGTH) :]))
    return int(head[9:12])


def read_requests(file: Path) -> list[bytes]:
    return [request for request in file.read_bytes().split(b"\0") if request]


if __name__ == "__main__":
    summary = asyncio.run(
        run(int(sys.argv[1]), read_requests(Path(sys.argv[2])), int(sys.argv[3]), float(sys.argv[4]))
    )
    print(json.dumps(summary))
