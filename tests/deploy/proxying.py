"""nginx's real binary with deploy/nginx, in front of the real gunicorn as in production."""

import http.client
import http.server
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import closing, contextmanager

from django.conf import settings

from saas.launcher.processes import free_port
from tests.project.launching import eventually
from tests.project.serving import HOST

CONFIGURATION = settings.BASE_DIR / "deploy" / "nginx"
# What compose's resolver and mounts give, and what tests may not wait for.
UPSTREAM = 'map "" $web {{ default 127.0.0.1:{web}; }}\nmap "" $grafana {{ default 127.0.0.1:{web}; }}\n'
REPLACED = {
    "https.conf": [
        ("listen 80;", "listen 127.0.0.1:{http};"),
        ("listen 443 ssl http2;", "listen 127.0.0.1:{https} ssl http2;"),
    ],
    "http.conf": [("listen 8000;", "listen 127.0.0.1:{http};")],
    "shared.conf": [
        ("/tmp/", "{folder}/"),
        ("listen 127.0.0.1:8080;", "listen 127.0.0.1:{inner};"),
        ("client_header_timeout 10s;", "client_header_timeout 1s;"),
        ("client_body_timeout 10s;", "client_body_timeout 1s;"),
        ("/dev/stdout json", "{folder}/access.log json"),
    ],
    "process.conf": [
        ("/tmp/", "{folder}/"),
        ("worker_processes auto;", "worker_processes 1;"),
        ("worker_connections 24000;", "worker_connections 1000;"),
        ("worker_rlimit_nofile 48000;", "worker_rlimit_nofile {files};"),
    ],
    "tls.conf": [("/run/secrets/", "{folder}/")],
    "monitoring.conf": [("listen 3000;", "listen 127.0.0.1:{grafana};")],
}
# With the patience and the connections of production, all of them in one worker as on a machine of one core.
UNHURRIED = {
    **REPLACED,
    "shared.conf": [each for each in REPLACED["shared.conf"] if "timeout" not in each[0]],
    "process.conf": [each for each in REPLACED["process.conf"] if "worker_connections" not in each[0]],
}


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read().decode()


class Proxy:
    def __init__(self, folder, ports):
        self.folder = folder
        self.ports = ports
        # The certificate is of this test's own; whether it is checked is the client's affair.
        self.tls = ssl._create_unverified_context()

    def ask(self, method, path, body=None, *, secure=True, **headers):
        """Header names with underscores for hyphens."""
        port = self.ports["https" if secure else "http"]
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        more = {"context": self.tls} if secure else {}
        with closing(kind("127.0.0.1", port, timeout=40, **more)) as connection:
            sent = {"Host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)
            return Answer(connection.getresponse())

    def send(self, message):
        """Bytes as they are, over plain http; returns all that comes until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.ports["http"]), timeout=20) as line:
            line.sendall(message)
            with line.makefile("rb") as answers:
                return answers.read().decode("latin-1")

    def log(self):
        return (self.folder / "access.log").read_text().splitlines()

    def line_of(self, request_id):
        """Its one line of the log, which is written once the answer is sent."""

        def lines():
            return [line for line in map(json.loads, self.log()) if line["request_id"] == request_id]

        assert eventually(lines)
        (line,) = lines()
        return line

    def is_up(self):
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", self.ports["inner"])) == 0


class Echo(http.server.ThreadingHTTPServer):
    """Stands where gunicorn does, and answers the headers that it got."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Echoing)
        self.port = self.server_port
        self.thread = threading.Thread(target=self.serve_forever, args=[0.05])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.thread.join()
        self.server_close()


class Echoing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(self.headers).strip().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Nobody reads it."""


def prepare(folder, upstream, replaced):
    """A copy of deploy/nginx that listens on free ports of loopback. Returns the ports."""
    ports = {name: free_port() for name in ("http", "https", "inner", "grafana")}
    # As many as this machine allows.
    files = min(48_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    shutil.copytree(CONFIGURATION, folder, dirs_exist_ok=True)
    for name, changes in replaced.items():
        text = (folder / name).read_text()
        for old, new in changes:
            assert old in text, f"{name} says nothing of {old!r}"
            text = text.replace(old, new.format(folder=folder, files=files, **ports))
        (folder / name).write_text(text)
    (folder / "upstream.conf").write_text(upstream)
    make_certificate(folder)
    return ports


def make_certificate(folder):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    command += ["-keyout", folder / "tls_key", "-out", folder / "tls_certificate"]
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def proxying(folder, web, main="https.conf", upstream=None, replaced=REPLACED):
    ports = prepare(folder, upstream or UPSTREAM.format(web=web), replaced)
    proxy = Proxy(folder, ports)
    # Or its workers would be www-data, who may not read this folder.
    user = "user root;" if os.geteuid() == 0 else ""
    command = ["nginx", "-p", f"{folder}/", "-c", main, "-g", f"daemon off; {user}"]
    with (folder / "error.log").open("w") as errors:
        process = subprocess.Popen(command, stdout=errors, stderr=errors)
    try:
        assert eventually(lambda: proxy.is_up() or process.poll() is not None)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield proxy
    finally:
        process.terminate()
        process.wait(30)
