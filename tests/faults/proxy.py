"""A TCP proxy in front of a server, whose line can be cut, slow or silent, and works again later."""

import socket
import threading
import time
from contextlib import suppress

BUFFER = 65536


class Proxy:
    def __init__(self, target, port=0):
        self.target = target
        self._lock = threading.Lock()
        self._sockets = []
        self._is_open = threading.Event()
        self._is_thawed = threading.Event()
        self._is_thawed.set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=200)
        self.port = self._listener.getsockname()[1]
        self._is_cut = False
        self._delay = 0
        self._is_open.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Break every connection, and each new one at once."""
        with self._lock:
            self._is_cut = True
            self._break_all()

    def silence(self):
        """Break every connection; new ones are taken, but nobody answers."""
        with self._lock:
            self._is_open.clear()
            self._break_all()

    def freeze(self):
        """Connections stay, and nothing passes on any of them."""
        self._is_thawed.clear()

    def slow(self, seconds):
        """Whatever passes takes that much longer, in each direction."""
        self._delay = seconds

    def mend(self):
        self._delay = 0
        self._is_thawed.set()
        with self._lock:
            self._is_cut = False
            self._is_open.set()

    def close(self):
        self.cut()
        self._is_open.set()
        # A thread that waits in accept() is not woken by close() alone.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _break_all(self):
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._sockets.clear()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client):
        with self._lock:
            if self._is_cut:
                client.close()
                return
            self._sockets.append(client)
        self._is_open.wait()
        try:
            server = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        with self._lock:
            if self._is_cut or client not in self._sockets:
                server.close()
                return
            self._sockets.append(server)
        threading.Thread(target=self._pump, args=[client, server], daemon=True).start()
        self._pump(server, client)

    def _pump(self, source, sink):
        with suppress(OSError):
            while data := source.recv(BUFFER):
                time.sleep(self._delay)
                self._is_thawed.wait()
                sink.sendall(data)
        with self._lock:
            for one in (source, sink):
                if one in self._sockets:
                    with suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
                    one.close()
                    self._sockets.remove(one)
