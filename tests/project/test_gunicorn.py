"""What only the real server shows: it starts with the real configuration, in processes of its own."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from saas.launcher.processes import free_port
from tests.project.launching import ROOT, eventually
from tests.project.serving import CONFIGURATION, PRODUCTION, Server, running, start

LIVE_REQUESTS = re.compile(
    r'^django_http_responses_total_by_status_view_method_total\{.*view="health_live".*\} (\S+)$',
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("gunicorn") / "log") as server:
        yield server


def chunked(path, *chunks, end=b"0\r\n\r\n"):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += "Transfer-Encoding: chunked\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head.encode() + b"\r\n" + body + end


class TestServer:
    def test_no_version_is_told(self, server):
        assert server.get("/health/live").headers["Server"] == "gunicorn"

    def test_a_head_request_has_no_body_and_the_connection_goes_on(self, server):
        heads = [f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" for path in ("/docs", "/no/such")]
        last = "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall("".join([*heads, last]).encode())
            with connection.makefile("rb") as answers:
                texts = answers.read().decode().split("\r\n\r\n")
        assert [text.split()[1] for text in texts[:3]] == ["200", "404", "200"]
        assert json.loads(texts[3])["status"] == "ok"

    @pytest.mark.parametrize("charset", ["hex", "undefined", "idna", "rot13", "utf-16", "no-such", '"'])
    def test_a_charset_is_not_asked_to_decode_the_address(self, server, charset):
        answer = server.get("/plans?x=1", **{"Content-Type": f"text/plain; charset={charset}"})
        assert (answer.status, json.loads(answer.body)["code"]) == (404, "not_found")
        assert "RateLimit" in answer.headers

    @pytest.mark.parametrize(
        "value", ["application/json; x*=undefined''%41", "application/json; x*=hex''%4", "a/b; charset*0=hex"]
    )
    def test_nor_are_those_of_its_other_parameters(self, server, value):
        head = (
            f"POST /auth/login?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: {value}\r\nContent-Length: 2"
        )
        status, answer = server.send(f"{head}\r\n\r\n{{}}".encode())
        assert (status, answer["code"]) in ((415, "unsupported_media_type"), (422, "validation_failed"))

    def test_a_client_that_plays_a_proxy_does_not_become_this_machine(self, server):
        assert server.get("/metrics").status == 200
        assert server.get("/metrics", **{"X-Forwarded-For": "127.0.0.1"}).status == 404

    @pytest.mark.parametrize("accept", ["text/html", "application/json"])
    def test_a_request_for_no_path_at_all(self, server, accept):
        """RFC 9112, 3.2.4."""
        line = f"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(line.encode())
            with connection.makefile("rb") as answer:
                assert answer.readline().split()[1] == b"404"

    def test_every_line_of_the_log_is_json(self, server):
        request_id = server.get("/no/such").headers["X-Request-Id"]
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
        (line,) = [line for line in lines if line["request_id"] == request_id]
        assert (line["logger"], line["path"], line["status"]) == ("saas.access", "/no/such", 404)


class TestChunkedBody:
    def test_it_is_read(self, server):
        status, body = server.send(chunked("/auth/login", b"non", b"sense"))
        assert (status, body["code"]) == (400, "malformed_request")

    def test_more_than_64_kib_are_refused(self, server):
        status, body = server.send(chunked("/auth/login", b"x" * 40_000, b"x" * 40_000))
        assert (status, body["code"]) == (413, "payload_too_large")

    def test_broken_chunks_are_refused(self, server):
        status, body = server.send(chunked("/auth/login", b"{}", end=b"nonsense\r\n\r\n"))
        assert (status, body["code"]) == (400, "malformed_request")


class TestMetrics:
    def test_all_workers_are_summed_even_one_that_is_gone(self, tmp_path):
        with running(tmp_path / "log", WEB_WORKERS="3") as server:
            before = self.live_requests(server)
            for _ in range(30):
                server.get("/health/live")
            server.process.send_signal(signal.SIGTTOU)
            assert eventually(lambda: "Worker exiting" in server.log.read_text())
            assert {self.live_requests(server) for _ in range(5)} == {before + 30}

    def test_an_earlier_run_is_forgotten(self, tmp_path):
        for _ in range(2):
            with running(tmp_path / "log", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as server:
                assert self.live_requests(server) < 5

    def live_requests(self, server):
        text = server.get("/metrics").body.decode()
        return sum(float(value) for value in LIVE_REQUESTS.findall(text))


class TestStart:
    def refuse(self, tmp_path, **variables):
        server = start(tmp_path / "log", **variables)
        try:
            assert server.process.wait(timeout=60) != 0
        finally:
            server.process.kill()
        return server.log.read_text()

    def test_unsafe_settings_are_refused(self, tmp_path):
        log = self.refuse(
            tmp_path, DEPLOYMENT_ENV="production", SECRET_KEY="short", PUBLIC_URL="http://app.example.com"
        )
        assert "saas.E001" in log
        assert "saas.E002" in log

    def test_without_its_static_files_it_is_refused_outside_development(self, tmp_path):
        log = self.refuse(tmp_path, **PRODUCTION, STATIC_ROOT=str(tmp_path))
        assert "run `manage.py collectstatic`" in log

    def test_a_role_that_passes_the_fence_is_refused(self, tmp_path):
        log = self.refuse(tmp_path, DATABASE_URL=os.environ["BOOTSTRAP_DATABASE_URL"])
        assert "row-level security would not hold" in log

    def test_without_postgresql_it_starts_and_says_so(self, tmp_path):
        url = f"postgres://saas_app:secret-word@127.0.0.1:{free_port()}/saas"
        with running(tmp_path / "log", DATABASE_URL=url) as server:
            assert server.get("/health").status == 503
        assert "PostgreSQL can't be reached yet" in server.log.read_text()
        assert "secret-word" not in server.log.read_text()


class TestThreads:
    """Few are busy at a time, since Python computes with one at a time; all of them may wait."""

    @pytest.fixture
    def serve(self, tmp_path):
        """Starts one worker. `patience` is how many seconds a request counts as busy."""
        servers = []

        def serve(patience):
            configuration = tmp_path / "gunicorn.conf.py"
            text = (ROOT / CONFIGURATION).read_text()
            assert "\nBUSY_SECONDS = 0.1\n" in text
            configuration.write_text(f"{text}\nBUSY_SECONDS = {patience}\n")
            command = [
                sys.executable,
                "-m",
                "gunicorn",
                "-c",
                configuration,
                "tests.project.busy:application",
            ]
            port = free_port()
            environment = {**os.environ, "WEB_WORKERS": "1", "WEB_THREADS": "16", "PORT": str(port)}
            with (tmp_path / "log").open("w") as log:
                process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            servers.append(process)
            server = Server(process, port, tmp_path / "log")
            assert eventually(lambda: self.is_up(server)), (tmp_path / "log").read_text()
            return server

        yield serve
        for process in servers:
            process.terminate()
            process.wait(60)

    def is_up(self, server):
        try:
            return server.get("/0").status == 200
        except OSError:
            return False

    def seen(self, server, path, count):
        with ThreadPoolExecutor(count) as pool:
            return [int(each.body) for each in pool.map(lambda _: server.get(path), range(count))]

    def test_few_are_busy(self, serve):
        assert max(self.seen(serve(60), "/0.05", 40)) == 4

    def test_all_may_wait_and_others_go_past_them(self, serve):
        server = serve(0.1)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.seen, server, "/8", 12)
            assert eventually(lambda: int(server.get("/0").body) == 13)
            assert not waiting.done()
            assert max(waiting.result()) >= 12

    def test_the_garbage_collector_does_not_go_through_what_stays(self, serve):
        """Neither what the master had loaded nor what the first requests made."""
        server = serve(60)
        first = int(server.get("/keep").body)
        assert 50_000 < first < 60_000
        for _ in range(220):
            assert server.get("/0").status == 200
        assert 50_000 < int(server.get("/keep").body) < first + 10_000

    def test_more_than_there_are_threads_are_served_in_turn(self, serve):
        assert max(self.seen(serve(0.1), "/1", 40)) == 16
