"""Whoever reads the log goes away: requests go on."""

import os
import subprocess

from saas.launcher.processes import free_port
from tests.project.launching import ROOT, eventually
from tests.project.serving import GUNICORN, Server


def test_requests_are_answered_without_a_reader_of_the_log(alice):
    port = free_port()
    environment = {**os.environ, "LOG_FORMAT": "json", "WEB_WORKERS": "2", "PORT": str(port)}
    process = subprocess.Popen(
        GUNICORN, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    server = Server(process, port, None)
    try:
        assert eventually(server.is_up)
        process.stdout.close()
        token = {"Authorization": f"Bearer {alice.access_token}"}
        assert {server.get("/users/me", **token).status for _ in range(50)} == {200}
        assert {server.get("/no/such").status for _ in range(50)} == {404}
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(60) == 0
