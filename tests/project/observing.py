"""A real HTTP server that stands in for Sentry's ingest and for a collector of traces, and a project that fails."""

import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module

from tests.project.launching import ROOT

URLS = """
import logging
from django.http import HttpResponse
from django.urls import path
from rest_framework.views import APIView
from saas.kit.errors import DomainError, Unavailable
from saas.urls import urlpatterns

class SeatLimitReached(DomainError):
    status = 409

def bug(request):
    token, link = request.headers["Authorization"], request.GET["token"]
    raise RuntimeError(
        f"{token} of ada@example.com at /invitation?token={link} or {link}, password={request.POST['password']}, "
        f"{request.headers['Cookie']}\\nDETAIL:  Failing row contains ({'Love' + 'lace'})."
    )

def expected(request):
    raise SeatLimitReached

def logged(request):
    try:
        raise SeatLimitReached
    except DomainError:
        logging.getLogger("x").exception("An expected failure")
    return HttpResponse()

def away(request):
    raise Unavailable

urlpatterns = [
    *urlpatterns,
    *(path(f"raise/{view.__name__}", view) for view in (bug, expected, logged, away)),
]
for view in (bug, expected, logged, away):
    view.csrf_exempt = True
"""


def decoded(body, encoding):
    # Sentry's client takes brotli wherever it is installed, as by the benchmark's requirements.
    decode = {"gzip": gzip.decompress, "br": lambda body: import_module("brotli").decompress(body)}
    return decode[encoding](body) if encoding else body


class Receiver:
    """Keeps what is sent to it, as (path, body); one that `hangs` takes a request and never answers."""

    def __init__(self, *, hangs=False):
        self.received = []
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = decoded(body, self.headers.get("Content-Encoding"))
                receiver.received.append((self.path, body))
                if hangs:
                    receiver.release.wait()
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port

    @property
    def dsn(self):
        return f"http://0123456789abcdef@127.0.0.1:{self.port}/42"

    @property
    def events(self):
        """Of each envelope the item after its two header lines."""
        return [
            json.loads(body.split(b"\n")[2])
            for path, body in list(self.received)
            if path.endswith("/envelope/")
        ]

    @property
    def spans(self):
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        exports = [ExportTraceServiceRequest.FromString(body) for _, body in list(self.received)]
        return [
            span
            for export in exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def attributes(span):
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@contextmanager
def receiving(**options):
    receiver = Receiver(**options)
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.release.set()
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()


def failing_project(directory):
    """The variables of a project whose routes below /raise fail."""
    (directory / "failing_urls.py").write_text(URLS)
    (directory / "failing_settings.py").write_text(
        "from saas.settings import *\nROOT_URLCONF = 'failing_urls'\n"
    )
    return {"DJANGO_SETTINGS_MODULE": "failing_settings", "PYTHONPATH": f"{directory}:{ROOT}"}
