"""An operation's time is over when it is over, however slowly the other side answers."""

import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from billing import stripe_client
from billing.standin.faults import always


@contextmanager
def over_within(seconds):
    started_at = time.monotonic()
    with pytest.raises(stripe_client.PaymentProviderUnavailable):
        yield
    assert time.monotonic() - started_at < seconds


def test_one_operation_after_another_goes_over_one_connection(stripe, monkeypatch):
    accepted = []
    take = stripe.standin.server.process_request
    monkeypatch.setattr(
        stripe.standin.server, "process_request", lambda *args: accepted.append(args) or take(*args)
    )
    for _ in range(3):
        stripe_client.call("test", lambda client: client.v1.prices.list())
    assert len(accepted) == 1


# The second one's header is there in time, but its body is not.
@pytest.mark.parametrize("pause", [0.3, 0.005])
def test_a_byte_at_a_time(stripe, pause):
    stripe.standin.fault = always("trickle", pause)
    with over_within(2.5):
        stripe_client.call(
            "test", lambda client: client.v1.prices.list({"expand": ["data.product"]}), seconds=2
        )


def test_no_answer_at_all(stripe):
    stripe.standin.fault = always("delay", 4)
    with over_within(2.5):
        stripe_client.fetch_subscription("sub_1", seconds=2)


def test_a_name_with_many_addresses_that_do_not_answer(stripe, settings, monkeypatch):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        # Nobody accepts them, so the next one is not even connected.
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found * 5)
        settings.STRIPE_API_BASE = f"http://stripe.example:{address[1]}"
        with over_within(2.5):
            stripe_client.fetch_subscription("sub_1", seconds=2)
        for each in waiting:
            each.close()


def test_it_leads_nowhere_else(stripe, settings):
    """ASVS 15.3.2. The first server answers every request with the way to Stripe's."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(307)
            self.send_header("Location", stripe_at + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    stripe_at = settings.STRIPE_API_BASE
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        settings.STRIPE_API_BASE = f"http://127.0.0.1:{server.server_port}"
        try:
            with pytest.raises(stripe_client.PaymentProviderUnavailable):
                stripe_client.call("test", lambda client: client.v1.prices.list())
        finally:
            server.shutdown()
            thread.join()
    assert stripe.standin.requests == []
