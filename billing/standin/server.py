"""The stand-in as a server on a loopback port: embedded in a test, or run by `python -m billing.standin`."""

import io
import ipaddress
import json
import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from billing.standin import webhooks
from billing.standin.api import Api, Call, Dropped
from billing.standin.book import Book
from billing.standin.faults import Fault
from billing.standin.pages.site import Page, Site

logger = logging.getLogger("billing.standin")

API_KEY = "sk_test_standin"
WEBHOOK_SECRET = "whsec_standin"  # noqa: S105 - the stand-in's, which production refuses
IDLE_SECONDS = 30


class StandIn:
    """`with StandIn(...) as standin:` serves until the block ends.

    `book` is the state and what can happen to customers; `requests` what the API was asked; `fault` makes trouble
    (see `billing.standin.faults`); `deliver = False` holds webhooks back.
    """

    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        webhook_secret: str = WEBHOOK_SECRET,
        api_key: str = API_KEY,
        state: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        first_wait: float = 1,
    ) -> None:
        refuse_open_host(host)
        self.server = Server((host, port), Handler)
        self.url = f"http://{host}:{self.server.server_port}"
        self.webhook_secret = webhook_secret
        self.book = Book(Path(state) if state else None, url=self.url)
        self.api = Api(self.book, api_key=api_key)
        self.courier = webhooks.Courier(
            url=webhook_url,
            secret=webhook_secret,
            body=event_body,
            delivered=self.book.mark_delivered,
            first_wait=first_wait,
        )
        self.book.webhooks = 1 if webhook_url else 0
        self.book.publish = self.courier.take
        self.server.api, self.server.site = self.api, Site(self.book)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> "StandIn":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Events that an earlier run could not deliver are tried again first."""
        for event in self.book.events.values():
            if event["pending_webhooks"]:
                self.courier.take(event)
        self.courier.start()
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.courier.stop()
        self.server.close_connections()
        self.server.server_close()

    @property
    def requests(self) -> list[tuple[str, str, dict[str, Any], str | None]]:
        """What the API was asked: method, path, parameters, idempotency key."""
        return self.api.requests

    @property
    def fault(self) -> Fault | None:
        return self.api.fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self.api.fault = fault

    @property
    def deliver(self) -> bool:
        return self.courier.deliver

    @deliver.setter
    def deliver(self, deliver: bool) -> None:
        self.courier.hold(not deliver)

    def sign(self, body: bytes, timestamp: int | None = None) -> str:
        return webhooks.sign(body, self.webhook_secret, timestamp)

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """All events, oldest first, or those of these types."""
        return [event for event in self.book.events.values() if not kinds or event["type"] in kinds]

    def signed(self, event: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Body and headers for a test that delivers an event itself."""
        body = event_body(event)
        return body, {"Content-Type": "application/json", "Stripe-Signature": self.sign(body)}


def event_body(event: dict[str, Any]) -> bytes:
    return json.dumps(event, indent=2).encode()


def refuse_open_host(host: str) -> None:
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"the stand-in serves this machine only; {host} is not a loopback address")


class Server(ThreadingHTTPServer):
    api: Api
    site: Site
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Clients keep their connections open; a stopped stand-in does not."""
        for connection in list(self.connections):
            cut(connection)


def cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        logger.debug("the other side had closed the connection already")


class Trickle(io.BytesIO):
    """Sends a byte at a time, until nobody listens any more."""

    def __init__(self, connection: socket.socket, pause: float) -> None:
        super().__init__()
        self.connection, self.pause = connection, pause

    def write(self, data: Any) -> int:
        try:
            for byte in bytes(data):
                self.connection.sendall(bytes([byte]))
                time.sleep(self.pause)
        except OSError:
            logger.debug("the other side had enough")
        return len(data)


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "StripeStandIn"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        self.respond(urlsplit(self.path).query)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.respond(self.rfile.read(length).decode("utf-8", "replace"))

    def do_DELETE(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        self.respond(body or urlsplit(self.path).query)

    def respond(self, form: str) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/v1/"):
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.respond_to_api(Call(self.command, path, form, headers))
        else:
            self.send(self.server.site.answer(self.command, path, form))

    def respond_to_api(self, call: Call) -> None:
        try:
            answer = self.server.api.answer(call)
        except Dropped:
            self.close_connection = True
            cut(self.connection)
            return
        logger.info("%s %s %s", call.method, call.path, answer.status)
        if answer.pause:
            self.wfile = Trickle(self.connection, answer.pause)
            self.close_connection = True
        body = json.dumps(answer.body, indent=2).encode()
        self.send(Page(body, status=answer.status, kind="application/json", headers=answer.headers))

    def send(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(page.body)))
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, format: str, *args: Any) -> None:
        """The API's lines are logged by `respond_to_api`; pages are not worth one."""
