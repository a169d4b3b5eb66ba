"""HTTP calls that end at a moment, however slowly the other side answers.

The timeout of `requests` is one for each read and for each of a name's addresses: a server that sends a byte a second
is never too late for it.
"""

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_deadline: ContextVar[float] = ContextVar("deadline")
_of_thread = threading.local()


@contextmanager
def ending_at(moment: float) -> Iterator[None]:
    """No read of a `session()` inside goes on after `moment`, of time.monotonic()."""
    token = _deadline.set(moment)
    try:
        yield
    finally:
        _deadline.reset(token)


def session() -> requests.Session:
    """This thread's, with its connections: a new one each time would cost a handshake each time."""
    if not hasattr(_of_thread, "session"):
        _of_thread.session = requests.Session()
        # A redirect is followed nowhere: it would take what is sent to a place that nobody chose.
        _of_thread.session.max_redirects = 0
        _of_thread.session.mount("https://", _Adapter())
        _of_thread.session.mount("http://", _Adapter())
    made: requests.Session = _of_thread.session
    return made


class _Reader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock
        self._timeout = sock.gettimeout() or 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = _deadline.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(min(left, self._timeout))
        return self._raw.readinto(buffer)  # type: ignore[attr-defined, no-any-return]

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        self.timeout = (self.timeout or 0.0) / len(addresses)
        return super()._new_conn()


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    pools = {"http": _Pool, "https": _SecurePool}

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self.pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self.pools
        return manager
