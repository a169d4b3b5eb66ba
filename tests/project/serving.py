"""The real server with the real configuration, in processes of its own."""

import http.client
import json
import os
import socket
import subprocess
import sys
from contextlib import closing, contextmanager

from saas.launcher.processes import free_port
from tests.project.launching import ROOT, eventually

CONFIGURATION = "deploy/gunicorn.conf.py"
GUNICORN = [sys.executable, "-m", "gunicorn", "-c", CONFIGURATION, "saas.wsgi:application"]

HOST = "app.example.com"
# What production refuses to start without, but for STATIC_ROOT.
PRODUCTION = {
    "DEPLOYMENT_ENV": "production",
    "PUBLIC_URL": f"https://{HOST}",
    "ALLOWED_HOSTS": HOST,
    "TRUSTED_PROXY_COUNT": "1",
    "BCRYPT_ROUNDS": "12",
    "EMAIL_BACKEND": "anymail.backends.sendgrid.EmailBackend",
    "STRIPE_SECRET_KEY": "sk_live_of_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_of_nobody",
    "STRIPE_API_BASE": "https://api.stripe.com",
    "SECRET_KEY": "m3Yx8qPz0rT5vW2kL9nB4cD7fG1hJ6sA-oIuEyQwRtZxCvBnM_K",
    "WEB_WORKERS": "2",
    "SECURE_HSTS_SECONDS": "31536000",
    "SECURE_SSL_REDIRECT": "1",
    "METRICS_TOKEN": "of-prometheus",
}


class Server:
    def __init__(self, process, port, log):
        self.process = process
        self.port = port
        self.log = log

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def get(self, path, **headers):
        with closing(self.connect()) as connection:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.body = response.read()
            return response

    def send(self, message):
        """Send bytes as they are; return the answer's status and JSON."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(message)
            with closing(http.client.HTTPResponse(connection)) as answer:
                answer.begin()
                return answer.status, json.loads(answer.read())

    def is_up(self):
        try:
            return self.get("/health/live").status == 200
        except OSError:
            return False


def start(log, port=None, **variables):
    port = port or free_port()
    environment = {**os.environ, "LOG_FORMAT": "json", "WEB_WORKERS": "2", "PORT": str(port), **variables}
    with log.open("w") as output:
        process = subprocess.Popen(GUNICORN, cwd=ROOT, env=environment, stdout=output, stderr=output)
    return Server(process, port, log)


@contextmanager
def running(log, port=None, **variables):
    server = start(log, port, **variables)
    try:
        assert eventually(lambda: server.is_up() or server.process.poll() is not None), log.read_text()
        assert server.process.poll() is None, log.read_text()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(timeout=60)
