"""Many connections at once, over plain http, from addresses of their own so that no limit of one address is met."""

import resource
import selectors
import socket
import time
from collections import Counter
from contextlib import ExitStack, closing

from tests.project.serving import HOST

# For files, pipes and the connections of others.
SPARE = 500
# nginx answers it itself.
GREETING = f"GET /health HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def address(number, network):
    """`network` keeps one test's addresses apart from another's."""
    return f"127.{network}.{number // 250}.{number % 250 + 1}"


def as_many_as_allowed(most):
    """Clients of whom this process holds one connection each, and a worker of nginx with the same limit two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(most, (hard - SPARE) // 2)


class Crowd:
    """Connections that stay open, `an_address` of them from each address."""

    def __init__(self, port, count, network, *, an_address=1, buffer=None):
        self.lines = []
        self._port = port
        self._sources = [(address(number // an_address, network), 0) for number in range(count)]
        self._buffer = buffer
        self._stack = ExitStack()

    def __enter__(self):
        for source in self._sources:
            line = self._stack.enter_context(closing(socket.socket()))
            if self._buffer:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer)
            line.settimeout(40)
            line.bind(source)
            line.connect(("127.0.0.1", self._port))
            self.lines.append(line)
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def send(self, message):
        """The same on every line; nobody waits for an answer."""
        for line in self.lines:
            line.sendall(message)

    def ask(self, messages, seconds=120):
        """A message on each line, all of them before the first answer is read: how often each status came."""
        for line, message in zip(self.lines, messages, strict=True):
            line.sendall(message)
        return self.answers(seconds)

    def keep_asking(self, messages, until, seconds=120):
        """Each line asks again as soon as it is answered. How often each status came."""
        for line in self.lines:
            line.sendall(next(messages))
        return self.answers(seconds, messages, until)

    def answers(self, seconds=120, messages=None, until=lambda: False):
        """How often each status came, or a word for what is no answer; `messages` are sent to who got one."""
        found = Counter()
        texts = dict.fromkeys(self.lines, b"")
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for line in self.lines:
                selector.register(line, selectors.EVENT_READ)
            while texts and not until() and time.monotonic() < deadline:
                for key, _ in selector.select(0.1):
                    line = key.fileobj
                    text, ended = _more(line)
                    texts[line] += text
                    if not (ended or is_whole(texts[line])):
                        continue
                    found[_status(texts.pop(line))] += 1
                    if ended or messages is None:
                        selector.unregister(line)
                    else:
                        texts[line] = b""
                        line.sendall(next(messages))
        if texts and messages is None:
            found["silence"] = len(texts)
        return found

    def gone(self):
        """How many the other side has closed: none has anything else to say."""
        with selectors.DefaultSelector() as selector:
            for line in self.lines:
                selector.register(line, selectors.EVENT_READ)
            return len(selector.select(0))


def is_whole(text):
    head, separator, body = text.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    return bool(separator) and len(body) >= int(length or 0)


def _more(line):
    try:
        text = line.recv(65536)
    except OSError:
        return b"", True
    return text, not text


def _status(text):
    return int(text.split(b" ", 2)[1]) if is_whole(text) else "cut off"
