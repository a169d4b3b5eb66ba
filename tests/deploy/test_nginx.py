"""nginx in front of gunicorn, both real, with production's settings: what it lets through, changes and answers itself."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from django.conf import settings

from saas.launcher.processes import free_port
from saas.middleware import BODY_LIMIT
from tests.deploy.proxying import CONFIGURATION, Echo, proxying
from tests.project.launching import eventually
from tests.project.serving import HOST, PRODUCTION, running

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

DOCUMENT = settings.BASE_DIR / "docs" / "deployment.md"
JSON = {"Content_Type": "application/json"}
PERSON = {"email": "ada@example.com", "password": "bernoulli numbers", "org": "Analytical"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """With nobody behind it."""
    with proxying(tmp_path_factory.mktemp("alone"), free_port()) as proxy:
        yield proxy


class TestConfiguration:
    @pytest.mark.parametrize("main", ["http.conf", "https.conf"])
    def test_nginx_takes_it(self, main, tmp_path):
        with proxying(tmp_path, free_port(), main) as proxy:
            assert proxy.ask("GET", "/", secure=False).status == 503
        assert "[emerg]" not in (tmp_path / "error.log").read_text()

    # HSTS is Django's to say, and is there once: TestTls. In development the host has a port, which $host lacks.
    @pytest.mark.parametrize(
        ("main", "skipped"), [("https.conf", "hsts_header"), ("http.conf", "hsts_header,host_spoofing")]
    )
    def test_gixy_finds_nothing(self, main, skipped):
        gixy = [
            Path(sys.executable).with_name("gixy"),
            "-f",
            "json",
            "--skips",
            skipped,
            CONFIGURATION / main,
        ]
        done = subprocess.run(gixy, capture_output=True, text=True)
        assert json.loads(done.stdout) == [], done.stderr

    def test_the_document_says_how_it_is_without_containers(self, tmp_path):
        (text,) = re.findall(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        with Echo() as echo, proxying(tmp_path, 0, upstream=text.replace("8000", str(echo.port))) as proxy:
            assert proxy.ask("GET", "/login").status == 200

    def test_body_limits_are_the_platforms(self):
        assert BODY_LIMIT == 64 * 1024
        assert "client_max_body_size 64k;" in (CONFIGURATION / "platform.conf").read_text()

    @pytest.mark.parametrize(
        "page", sorted((CONFIGURATION / "pages").iterdir(), key=str), ids=lambda page: page.stem
    )
    def test_a_pages_style_is_the_one_that_its_policy_allows(self, page):
        style = re.search(r"<style>(.*)</style>", page.read_text(), re.DOTALL)[1]
        digest = b64encode(sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in (CONFIGURATION / "headers.conf").read_text()


class TestTls:
    def connect(self, proxy, version, ciphers=None, protocols=()):
        context = ssl._create_unverified_context()
        context.minimum_version = context.maximum_version = version
        # Without it OpenSSL itself would refuse the old ones.
        context.set_ciphers(ciphers or "ALL:@SECLEVEL=0")
        if protocols:
            context.set_alpn_protocols(protocols)
        address = ("127.0.0.1", proxy.ports["https"])
        with (
            socket.create_connection(address, timeout=10) as line,
            context.wrap_socket(line, server_hostname=HOST) as secure,
        ):
            return secure.version(), secure.cipher()[0], secure.selected_alpn_protocol()

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    def test_old_versions_are_refused(self, proxy, version):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            self.connect(proxy, version)

    @pytest.mark.parametrize(
        "cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"]
    )
    def test_ciphers_without_forward_secrecy_or_aead_are_refused(self, proxy, cipher):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            self.connect(proxy, ssl.TLSVersion.TLSv1_2, f"{cipher}:@SECLEVEL=0")

    def test_new_ones_work_and_speak_http_2(self, proxy):
        assert self.connect(proxy, ssl.TLSVersion.TLSv1_2)[0] == "TLSv1.2"
        version, _, protocol = self.connect(proxy, ssl.TLSVersion.TLSv1_3, protocols=["h2", "http/1.1"])
        assert (version, protocol) == ("TLSv1.3", "h2")

    def test_http_is_redirected_and_only_to_a_host_of_ours(self, proxy):
        answer = proxy.ask("GET", "/login?next=/account", secure=False)
        assert (answer.status, answer.headers["Location"]) == (301, f"https://{HOST}/login?next=/account")
        answer = proxy.ask("GET", "/login", secure=False, Host="evil.example")
        assert (answer.status, "Location" in answer.headers) == (400, False)

    def test_https_is_promised_once(self, proxy):
        answer = proxy.ask("GET", "/login")
        assert answer.status == 200
        assert len(answer.headers.get_all("Strict-Transport-Security")) == 1


class TestRequests:
    def test_a_person_registers_and_reads_who_they_are(self, proxy):
        registered = proxy.ask("POST", "/auth/register", json.dumps(PERSON), **JSON)
        assert registered.status == 201, registered.body
        token = json.loads(registered.body)["access_token"]
        me = proxy.ask("GET", "/users/me", Authorization=f"Bearer {token}")
        assert json.loads(me.body)["email"] == PERSON["email"]
        sessions = proxy.ask("GET", "/auth/sessions", Authorization=f"Bearer {token}")
        assert json.loads(sessions.body)["data"][0]["ip"] == "127.0.0.1"

    def test_what_a_client_says_of_itself_is_not_believed(self, proxy):
        """By the limit for an address without a session, which the answers count down."""
        said = [{"X_Forwarded_For": f"203.0.113.{number}"} for number in range(3)]
        said += [{"X_Real_IP": "203.0.113.9"}, {"Forwarded": "for=203.0.113.9"}]
        left = [
            int(re.search(r"r=(\d+)", proxy.ask("GET", "/users/me", **headers).headers["RateLimit"])[1])
            for headers in said
        ]
        assert left == list(range(left[0], left[0] - len(said), -1))

    def test_what_the_platform_is_told(self, tmp_path):
        """An address once, whatever the client said; nothing that a client could say in nginx's place."""
        said = {
            "X_Forwarded_For": "203.0.113.1",
            "X_Forwarded_Proto": "http",
            "X_Forwarded_Host": "evil.example",
        }
        said |= {"X_Forwarded_Port": "1", "X_Real_IP": "203.0.113.1", "Forwarded": "for=203.0.113.1"}
        said |= {"Connection": "keep-alive, Upgrade", "Upgrade": "h2c"}
        with Echo() as echo, proxying(tmp_path, echo.port) as proxy:
            told = proxy.ask("GET", "/login", **said).body.splitlines()
        told = sorted(line for line in told if not line.startswith(("Accept-Encoding", "X-Request-Id")))
        assert told == [
            "Connection: close",
            f"Host: {HOST}",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: https",
        ]

    def test_a_host_that_a_client_makes_up_is_refused(self, proxy):
        assert proxy.ask("GET", "/login", Host="evil.example").status == 400
        assert proxy.ask("GET", "/login", X_Forwarded_Host="evil.example").status == 200
        assert "evil" not in proxy.ask("GET", "/forgot-password", X_Forwarded_Host="evil.example").body

    def test_a_request_has_one_id_everywhere(self, proxy, web):
        given = "a-client-of-ours-1"
        for headers, expected in [
            ({"X_Request_Id": given}, given),
            ({"X_Request_Id": "in jec\tted"}, None),
            ({}, None),
        ]:
            answer = proxy.ask("GET", "/no/such?token=abc", **headers)
            (id,) = answer.headers.get_all("X-Request-Id")
            assert id == expected or (expected is None and re.fullmatch("[0-9a-f]{32}", id))
            line = proxy.line_of(id)
            assert (line["path"], line["status"], line["remote_addr"]) == ("/no/such", 404, "127.0.0.1")
            assert id in web.log.read_text()

    def test_tokens_in_links_are_not_logged(self, proxy):
        proxy.ask(
            "GET",
            "/reset-password?token=very-secret-token",
            Referer=f"https://{HOST}/?token=very-secret-token",
        )
        proxy.send(b"GET /reset-password?token=very-secret-token HTTP/1.1\r\nHost: x y\r\n\r\n")
        assert "/reset-password" in proxy.log()[-1]
        assert "very-secret-token" not in "".join(proxy.log())

    def test_nor_while_the_platform_is_away(self, alone):
        path = "/reset-password?token=very-secret-token"
        assert alone.ask("GET", path, Referer=f"https://{HOST}{path}").status == 503
        assert "very-secret-token" not in "".join(alone.log())
        assert "very-secret-token" not in (alone.folder / "error.log").read_text()

    @pytest.mark.parametrize("path", ["/static/none.css", "/webhooks/none"])
    def test_there_is_no_way_around_the_limit(self, path):
        text = (CONFIGURATION / "platform.conf").read_text()
        place = path.removesuffix("none").removesuffix("none.css")
        assert "limit_req zone=" in text.partition(f"location {place} {{")[2].partition("}")[0]

    def test_a_line_of_the_log_can_not_be_forged(self, proxy):
        id = proxy.ask("GET", "/no/such", User_Agent='x","status":200,"y":"').headers["X-Request-Id"]
        assert proxy.line_of(id)["status"] == 404

    @pytest.mark.parametrize(
        "path", ["/metrics", "/health", "/health/redis", "/metrics/", "/./metrics", "//metrics", "/%6detrics"]
    )
    def test_what_is_internal_is_not_there(self, proxy, path):
        """Not even for who has the token."""
        answer = proxy.ask("GET", path, Authorization="Bearer of-prometheus")
        assert (answer.status, "X-Frame-Options" in answer.headers) == (404, True)

    def test_probes_are_answered(self, proxy):
        assert [proxy.ask("GET", f"/health/{name}").status for name in ("live", "ready")] == [200, 200]

    def test_webhooks_may_be_large_and_nothing_else(self, proxy):
        large = b"x" * (BODY_LIMIT + 1)
        refused = proxy.ask("POST", "/auth/login", large, **JSON)
        assert (refused.status, json.loads(refused.body)["code"]) == (413, "payload_too_large")
        # The platform looked at it, and misses the signature.
        assert proxy.ask("POST", "/webhooks/stripe", large, **JSON).status == 400

    def test_an_answer_with_a_secret_is_not_compressed(self, proxy):
        page = proxy.ask("GET", "/login", Accept_Encoding="gzip, br")
        assert "csrf" in page.body
        assert page.headers["Content-Encoding"] is None
        document = proxy.ask("HEAD", "/openapi.yaml", Accept_Encoding="gzip")
        assert (document.status, document.headers["Content-Encoding"]) == (200, "gzip")


class TestStatic:
    def test_it_is_kept_for_long_by_its_name_and_compressed(self, proxy):
        path = re.search(r'href="(/static/css/base\.[0-9a-f]{12}\.css)"', proxy.ask("GET", "/login").body)[1]
        first, second = proxy.ask("GET", path), proxy.ask("GET", path)
        assert first.status == second.status == 200
        assert "immutable" in second.headers["Cache-Control"]
        assert int(re.search(r"max-age=(\d+)", second.headers["Cache-Control"])[1]) >= 31_536_000
        assert (first.headers["X-Cache"], second.headers["X-Cache"]) == ("MISS", "HIT")
        assert first.body == second.body
        with_gzip = proxy.ask("HEAD", path, Accept_Encoding="gzip")
        assert with_gzip.headers["Content-Encoding"] == "gzip"
        # Who can't read it is not given what was kept for who can.
        assert proxy.ask("HEAD", path).headers["Content-Encoding"] is None

    def test_what_a_client_sends_along_does_not_poison_it(self, proxy):
        path = re.search(r'href="(/static/css/tokens\.[0-9a-f]{12}\.css)"', proxy.ask("GET", "/login").body)[
            1
        ]
        proxy.ask("GET", path, X_Forwarded_Host="evil.example", Cookie="session=evil")
        assert "evil" not in str(proxy.ask("GET", path).headers)
        assert proxy.ask("GET", "/static/no-such.css").status == 404


class TestLimits:
    def test_a_flood_is_refused_and_told_when_to_come_back(self, alone):
        answers = [alone.ask("GET", path, secure=False) for path in ["/users/me", "/login"] * 150]
        refused = [answer for answer in answers if answer.status == 429]
        assert 0 < len(refused) < len(answers)
        assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
        problems = [
            json.loads(answer.body)
            for answer in refused
            if answer.headers["Content-Type"] == "application/problem+json"
        ]
        pages = [answer.body for answer in refused if answer.headers["Content-Type"].startswith("text/html")]
        assert {problem["code"] for problem in problems} == {"rate_limited"}
        assert pages
        assert all("One moment, please" in page for page in pages)

    @pytest.mark.parametrize(
        "beginning",
        [
            b"GET / HTTP/1.1\r\n",
            f"POST /auth/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100\r\n\r\n{{".encode(),
        ],
        ids=["header", "body"],
    )
    def test_a_slow_client_is_cut_off_and_others_are_answered(self, proxy, beginning):
        with socket.create_connection(("127.0.0.1", proxy.ports["http"]), timeout=20) as line:
            line.sendall(beginning)
            assert proxy.ask("GET", "/health/live").status == 200
            began = time.monotonic()
            answer = line.recv(10_000)
            # Closed by nginx; the client above would wait for 20 s.
            assert answer == b"" or b" 408 " in answer.split(b"\r\n")[0]
            assert time.monotonic() - began < 19

    def test_a_header_that_is_too_large(self, proxy):
        answer = proxy.send(
            f"GET /users/me HTTP/1.1\r\nHost: {HOST}\r\nX-Long: {'x' * 9000}\r\n\r\n".encode()
        )
        assert answer.startswith("HTTP/1.1 400")
        assert '"code":"malformed_request"' in answer
        answer = proxy.send(f"GET /users/me?{'x' * 9000} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert answer.startswith("HTTP/1.1 414")


class TestErrors:
    def test_an_api_path_gets_a_problem(self, alone):
        answer = alone.ask("GET", "/users/me")
        problem = json.loads(answer.body)
        assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert answer.headers["Retry-After"] == "5"
        assert problem["request_id"] == answer.headers["X-Request-Id"]
        assert problem == {
            "type": f"https://{HOST}/problems/unavailable",
            "title": "Service unavailable",
            "status": 503,
            "detail": "The platform can not be reached just now.",
            "instance": "/users/me",
            "code": "unavailable",
            "request_id": problem["request_id"],
        }

    def test_a_page_gets_a_page(self, alone):
        answer = alone.ask("GET", "/billing")
        assert (answer.status, answer.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
        assert "Back in a moment" in answer.body
        assert answer.headers["Retry-After"] == "5"
        assert "Strict-Transport-Security" in answer.headers

    def test_a_host_can_not_break_the_json(self, alone):
        answer = alone.send(b"GET /users/me HTTP/1.1\r\nHost: a\\b\r\nConnection: close\r\n\r\n")
        assert json.loads(answer.partition("\r\n\r\n")[2])["type"] == "http:///problems/unavailable"

    def test_a_path_can_not_break_the_json(self, alone):
        answer = alone.send(b'GET /users/me"x"%22 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        assert json.loads(answer.partition("\r\n\r\n")[2])["instance"] == "/"

    def test_its_own_errors_are_left_to_the_platform(self, proxy):
        problem = json.loads(proxy.ask("GET", "/users/me").body)
        assert (problem["status"], problem["code"]) == (401, "not_authenticated")


def test_it_comes_back_with_the_platform(web, tmp_path):
    """A restart of nothing but gunicorn."""
    port = free_port()
    with proxying(tmp_path / "nginx", port) as proxy:
        assert proxy.ask("GET", "/login").status == 503
        with running(tmp_path / "log", port=port, **PRODUCTION, STATIC_ROOT=str(web.log.parent / "static")):
            assert eventually(lambda: proxy.ask("GET", "/login").status == 200)
