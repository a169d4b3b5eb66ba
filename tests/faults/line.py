"""A client's connection: what it asks, and what it is told."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass

# Longer than any answer may take.
PATIENCE = 40


class Unanswered(Exception):
    """No whole answer came. Whether the request took effect is not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict
    content: bytes

    @property
    def body(self):
        return json.loads(self.content)


class Line:
    """Kept from request to request, unless it `keeps` nothing; opened anew when it broke off; from an `address`."""

    def __init__(self, port, *, keeps=True, address="127.0.0.1"):
        self.port = port
        self.address = address
        self.keeps = keeps
        self._streams = None

    async def ask(self, method, path, body=None, *, token=None, **headers):
        """Raises Unanswered. `body` is bytes, or what becomes JSON."""
        message = self._message(method, path, body, token, headers)
        try:
            if self._streams is None or self._streams[0].at_eof() or self._streams[1].is_closing():
                self._streams = await asyncio.open_connection(
                    "127.0.0.1", self.port, local_addr=(self.address, 0)
                )
            self._streams[1].write(message)
            answer = await asyncio.wait_for(_read(self._streams[0]), PATIENCE)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            await self.close()
            raise Unanswered(repr(error)) from error
        if not self.keeps or answer.headers.get("connection") == "close":
            await self.close()
        return answer

    async def close(self):
        if self._streams:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None

    def _message(self, method, path, body, token, headers):
        lines = {"Host": "localhost"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            lines["Authorization"] = f"Bearer {token}"
        if not self.keeps:
            lines["Connection"] = "close"
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if content:
            lines |= {"Content-Type": "application/json", "Content-Length": len(content)}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content


async def _read(reader):
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    content = await reader.readexactly(int(headers["content-length"]))
    return Answer(int(first.split(" ", 2)[1]), headers, content)
