"""Clients that never stop asking, and keep count of what they were told."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.faults.line import Line, Unanswered


class InThread:
    """Coroutines of `_run` in a thread of their own, until they are told to stop."""

    def __init__(self):
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self):
        self._ended = self._pool.submit(lambda: asyncio.run(self._run()))
        return self

    def __exit__(self, *exception):
        self.stop()

    def stop(self):
        """Every request that was begun is brought to its end."""
        self._stopped.set()
        self._ended.result(60)
        self._pool.shutdown()

    @property
    def is_stopped(self):
        return self._stopped.is_set()


class Clients(InThread):
    """`persons` ask over and over until `stop`: half of them keep their connection, half open one a request.

    What they count: `answers` by status, and `failures`, a line for each request that got no whole answer. What
    they know: `names` by person, as last acknowledged, and `unsure`, what was sent last without an answer. `addresses` are
    where each comes from, and `pause` is how long each waits before it asks again.
    """

    def __init__(self, port, persons, *, host="localhost", addresses=None, pause=0):
        super().__init__()
        self.port = port
        self.persons = persons
        self.host = host
        self.addresses = addresses or ["127.0.0.1"] * len(persons)
        self.pause = pause
        self.answers = Counter()
        self.failures = []
        self.names = {}
        self.unsure = {}

    @property
    def asked(self):
        return self.answers.total() + len(self.failures)

    async def _run(self):
        await asyncio.gather(*(self._client(*each) for each in enumerate(self.persons)))

    async def _client(self, number, person):
        line = Line(self.port, keeps=number % 2 == 0, address=self.addresses[number])
        known = {"token": person.access_token, "Host": self.host}
        turn = 0
        while not self.is_stopped:
            turn += 1
            name = f"{number} {turn}" if turn % 10 == 0 else None
            try:
                if name:
                    answer = await line.ask("PATCH", "/users/me", {"name": name}, **known)
                else:
                    answer = await line.ask("GET", "/users/me", **known)
            except Unanswered as error:
                self.failures.append(f"request {turn} of client {number}: {error}")
                if name:
                    self.unsure[person.user.id] = name
                # As clients do, before they ask again.
                await asyncio.sleep(0.2)
            else:
                self.answers[answer.status] += 1
                if name and answer.status == 200:
                    self.names[person.user.id] = name
            await asyncio.sleep(self.pause)
        await line.close()
