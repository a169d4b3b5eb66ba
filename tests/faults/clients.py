"""Clients that never stop asking, and keep count of what they were told."""

import asyncio
import json
import threading
from collections import Counter
from contextlib import suppress


class Clients:
    """`persons` ask over and over until `stop`: half of them keep their connection, half open one a request.

    What they count: `answers` by status, and `failures`, a line for each request that got no whole answer. What
    they know: `names` by person, as last acknowledged, and `unsure`, what was sent last without an answer.
    """

    def __init__(self, port, persons):
        self.port = port
        self.persons = persons
        self.answers = Counter()
        self.failures = []
        self.names = {}
        self.unsure = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self.stop()

    def stop(self):
        """Every request that was begun is brought to its end."""
        self._stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    @property
    def asked(self):
        return self.answers.total() + len(self.failures)

    async def _run(self):
        await asyncio.gather(*(self._client(*each) for each in enumerate(self.persons)))

    async def _client(self, number, person):
        keeps = number % 2 == 0
        line = None
        turn = 0
        while not self._stopped.is_set():
            turn += 1
            message = self._message(person, number, turn, keeps)
            try:
                if line is None or line[0].at_eof() or line[1].is_closing():
                    line = await asyncio.open_connection("127.0.0.1", self.port)
                line[1].write(message)
                status, closes = await asyncio.wait_for(_answer(line[0]), 40)
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
                self.failures.append(f"request {turn} of client {number}: {error!r}")
                # As clients do, before they ask again.
                await asyncio.sleep(0.2)
                status, closes = None, True
                if turn % 10 == 0:
                    self.unsure[person.user.id] = f"{number} {turn}"
            else:
                self.answers[status] += 1
                if turn % 10 == 0 and status == 200:
                    self.names[person.user.id] = f"{number} {turn}"
            if line and (closes or not keeps):
                await _close(line)
                line = None
        if line:
            await _close(line)

    def _message(self, person, number, turn, keeps):
        head = f"Host: localhost\r\nAuthorization: Bearer {person.access_token}\r\n"
        if not keeps:
            head += "Connection: close\r\n"
        if turn % 10:
            return f"GET /users/me HTTP/1.1\r\n{head}\r\n".encode()
        body = json.dumps({"name": f"{number} {turn}"})
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"PATCH /users/me HTTP/1.1\r\n{head}\r\n{body}".encode()


async def _answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    length = int(head.partition("content-length:")[2].split("\r\n", 1)[0])
    await reader.readexactly(length)
    return status, "connection: close" in head


async def _close(line):
    line[1].close()
    with suppress(OSError):
        await line[1].wait_closed()
