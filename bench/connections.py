"""10,000 connections that stay open through nginx, over TLS, each of which reads every so often."""

import asyncio
import random
import resource
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bench.accounting import family, resident_megabytes
from bench.environment import HOST
from bench.front import Front
from bench.load import WrongAnswers
from bench.messages import message
from bench.people import Person
from bench.tokens import Signer

CONNECTIONS = 10_000
# nginx limits by address.
AN_ADDRESS = 100
# From an answer to the connection's next read; nginx keeps it for 65.
EVERY = 50
SECONDS = 120
# At a time, so that no handshake takes as long as nginx waits for the first request.
OPENING = 50
PATIENCE = 60
# For files, and for what a process has beside these connections.
SPARE = 200
GOAL = 99.99
# nginx answers it itself.
GREETING = f"GET /health HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


class Crowd:
    """A connection a message. Reads count once all are open, for so many seconds."""

    def __init__(self, port: int, messages: Sequence[bytes], *, every: float, seconds: float) -> None:
        self.statuses: Counter[str] = Counter()
        self.milliseconds: list[float] = []
        self._port, self._messages, self._every, self._seconds = port, messages, every, seconds
        self._opened = 0
        self._all_are_open, self._ended = asyncio.Event(), asyncio.Event()
        self._gate = asyncio.Semaphore(OPENING)
        self._tls = ssl.create_default_context()
        # The certificate is of this run's own.
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE

    async def run(self) -> None:
        """Raises WrongAnswers if not all could be opened."""
        try:
            async with asyncio.TaskGroup() as group:
                for number, text in enumerate(self._messages):
                    group.create_task(self._client(number, text))
                await self._all_are_open.wait()
                await asyncio.sleep(self._seconds)
                self._ended.set()
        except* (OSError, WrongAnswers) as errors:
            raise WrongAnswers(f"a connection could not be opened: {errors.exceptions[0]}") from None

    @property
    def success(self) -> float:
        return 100 * self.statuses["200"] / max(1, self.statuses.total())

    async def _client(self, number: int, text: bytes) -> None:
        reader, writer = await self._open(number // AN_ADDRESS)
        self._opened += 1
        if self._opened == len(self._messages):
            self._all_are_open.set()
        await self._pause(random.uniform(0, self._every))
        while not self._ended.is_set():
            counts, began = self._all_are_open.is_set(), time.monotonic()
            status = await self._read(reader, writer, text)
            if counts:
                self.statuses[status] += 1
            if counts and status == "200":
                self.milliseconds.append(1e3 * (time.monotonic() - began))
            if not status.isdigit():
                return
            await self._pause(self._every)
        writer.close()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    async def _open(self, address: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        source = f"127.1.{address // 250}.{address % 250 + 1}"
        async with self._gate:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self._port, ssl=self._tls, server_hostname=HOST, local_addr=(source, 0)
            )
            greeted = await self._read(reader, writer, GREETING)
        if greeted != "404":
            raise WrongAnswers(greeted)
        return reader, writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> str:
        """The status of the whole answer, or how it broke off."""
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(text)
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
                await reader.readexactly(int(length))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            writer.close()
            return type(error).__name__
        return head[9:12].decode()


def run(front: Front, people: list[Person], signer: Signer) -> dict[str, Any]:
    """Print and return what came of it. Raises WrongAnswers if a read was cut off."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(CONNECTIONS, hard - SPARE)
    reads = [
        message("GET", "/users/me", address="", token=signer.access(person, person.sessions[0]))
        for person in people
    ]
    started = time.monotonic()
    found = asyncio.run(measure(front, [reads[number % len(reads)] for number in range(count)]))
    found["seconds"] = round(time.monotonic() - started)
    for name, value in found.items():
        print(f"  {name:20}{value}")
    print(f"  {GOAL} % of the reads with 200: {'met' if found['success_percent'] >= GOAL else 'missed'}")
    if broken := {name for name in found["statuses"] if not name.isdigit()}:
        raise WrongAnswers(f"reads were cut off: {broken}")
    return found


async def measure(
    front: Front, messages: list[bytes], *, every: float = EVERY, seconds: float = SECONDS
) -> dict[str, Any]:
    crowd = Crowd(front.port, messages, every=every, seconds=seconds)
    await crowd.run()
    times = sorted(crowd.milliseconds) or [0.0]
    return {
        "connections": len(messages),
        "reads": crowd.statuses.total(),
        "statuses": dict(crowd.statuses),
        "success_percent": round(crowd.success, 4),
        "p50_ms": round(times[len(times) // 2]),
        "p95_ms": round(times[int(0.95 * len(times))]),
        "nginx_megabytes": round(sum(resident_megabytes(pid) for pid in family(front.pid))),
    }
