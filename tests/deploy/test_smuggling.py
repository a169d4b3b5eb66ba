"""Messages that two readers could read otherwise: nobody's second request hides in a first one."""

import re
import shutil
import socket
from uuid import uuid4

import pytest

from tests.project.serving import HOST

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")

# Headers that leave it in doubt where the body ends.
IN_DOUBT = [
    "Content-Length: 6\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 6",
    "Content-Length: 6\r\ntransfer-encoding: Chunked",
    "Content-Length: 6\r\nContent-Length: 7",
    "Content-Length: 6, 7",
    "Content-Length: +6",
    "Content-Length: -6",
    "Content-Length: 0x6",
    "Content-Length: 6 6",
    "Content-Length: 6\x0b",
    "Content-Length: 99999999999999999999",
    "Content-Length: \xb2",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked;q=1",
    'Transfer-Encoding: "chunked"',
    "Transfer-Encoding: chunked\x00",
    "Transfer-Encoding: \xefchunked",
    "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\x00: chunked",
    "Content-Length: 6\r\n Transfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 6",
    "X: y\nTransfer-Encoding: chunked\r\nContent-Length: 6",
    "X: y\rTransfer-Encoding: chunked\r\nContent-Length: 6",
    "Content_Length: 6\r\nTransfer_Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
]
# What gunicorn may take: no such headers at all, and chunks as the last of two codings (RFC 9112, 6.1).
CLEAR = [
    "Content_Length: 6\r\nTransfer_Encoding: chunked",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip, chunked",
]
# Bodies in chunks that are none, or that hide something behind their end.
CHUNKS = [
    "0x2\r\n{}\r\n0\r\n\r\n",
    "+2\r\n{}\r\n0\r\n\r\n",
    "-2\r\n{}\r\n0\r\n\r\n",
    " 2\r\n{}\r\n0\r\n\r\n",
    "2_0\r\n{}\r\n0\r\n\r\n",
    "FFFFFFFFFFFFFFFF2\r\n{}\r\n0\r\n\r\n",
    "2\n{}\n0\n\n",
    "2\r{}\r0\r\r",
    "2\r\n{}XX0\r\n\r\n",
    "2;a=b\nHost: x\r\n{}\r\n0\r\n\r\n",
    '2;a="\r\n\r\n"\r\n{}\r\n0\r\n\r\n',
    "2\r\n{}\r\n0\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n",
    "\r\n2\r\n{}\r\n0\r\n\r\n",
]
LINES = [
    "GET /a\x00b HTTP/1.1",
    "GET http://evil.example/login HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /login HTTP/1.1 x",
    "GET\x0b/login HTTP/1.1",
    "GET /login HTTP/3.7",
    "GET /login HTTP/-1.1",
    "GET /login http/1.1",
    "GET evil.example HTTP/1.1",
    "/login HTTP/1.1",
]
HOSTS = [
    f"Host: {HOST}\r\nHost: evil.example",
    "Host: evil.example",
    f"Host: {HOST}@evil.example",
    f"Host: evil.example/{HOST}",
    f"Host : {HOST}",
    f" Host: {HOST}",
    "X: y",
]


@pytest.fixture
def hidden():
    """A path that no log may hold."""
    return f"/smuggled-{uuid4().hex}"


def direct(web, message):
    """To gunicorn itself; all that comes until the connection ends or nothing more does."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=5) as line:
        line.sendall(message)
        line.shutdown(socket.SHUT_WR)
        with line.makefile("rb") as answers:
            return answers.read().decode("latin-1")


def posted(headers, body, hidden):
    second = f"GET {hidden} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
    head = f"POST /auth/login HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n{headers}\r\n\r\n"
    return f"{head}{body}{second}".encode("latin-1")


class TestBodies:
    @pytest.mark.parametrize("headers", IN_DOUBT)
    def test_one_whose_end_is_in_doubt_is_no_second_request(self, proxy, web, hidden, headers):
        answers = proxy.send(posted(f"Connection: close\r\n{headers}", "0\r\n\r\n", hidden))
        assert answers.count("HTTP/1.1 ") <= 1
        assert hidden not in web.log.read_text()

    @pytest.mark.parametrize("headers", [each for each in IN_DOUBT if each not in CLEAR])
    def test_nor_to_gunicorn_alone(self, web, hidden, headers):
        """Which has a proxy in front, and does not count on it."""
        answers = direct(web, posted(f"X-Forwarded-Proto: https\r\n{headers}", "0\r\n\r\n", hidden))
        assert answers.startswith(("HTTP/1.1 400", "HTTP/1.1 501")) or not answers, answers
        assert hidden not in web.log.read_text()

    @pytest.mark.parametrize("body", CHUNKS)
    def test_chunks_that_are_none(self, proxy, web, hidden, body):
        headers = "Transfer-Encoding: chunked\r\nX-Forwarded-Proto: https"
        through = proxy.send(posted(f"Connection: close\r\n{headers}", body, hidden))
        assert through.count("HTTP/1.1 ") <= 1, through
        assert hidden not in web.log.read_text()

    @pytest.mark.parametrize("body", CHUNKS[:9])
    def test_nor_does_gunicorn_read_on_behind_them(self, web, hidden, body):
        direct(web, posted("Transfer-Encoding: chunked\r\nX-Forwarded-Proto: https", body, hidden))
        assert hidden not in web.log.read_text()


class TestLines:
    @pytest.mark.parametrize("line", LINES)
    def test_one_that_is_in_doubt_is_refused(self, proxy, line):
        answer = proxy.send(f"{line}\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode("latin-1"))
        assert answer.split()[1] in ("400", "301", "505"), answer
        assert "evil" not in answer

    @pytest.mark.parametrize("hosts", HOSTS)
    def test_a_host_that_is_in_doubt_is_refused(self, proxy, hosts):
        answer = proxy.send(f"GET /login HTTP/1.1\r\n{hosts}\r\nConnection: close\r\n\r\n".encode("latin-1"))
        assert answer.split()[1] == "400", answer
        assert "Location" not in answer

    def test_a_request_of_http_0_9_opens_nothing(self, proxy):
        """It names no host."""
        answer = proxy.send(b"GET /login\r\n\r\n")
        assert "csrf" not in answer
        assert not answer or '"code": "malformed_request"' in answer or "400" in answer

    def test_a_line_break_in_a_path_makes_no_header(self, proxy):
        answer = proxy.ask("GET", "/login%0d%0aSet-Cookie:%20evil=1", secure=False)
        assert "Set-Cookie" not in answer.headers

    @pytest.mark.parametrize(
        "line", ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "CONNECT evil.example:443 HTTP/1.1"]
    )
    def test_no_other_protocol_begins(self, proxy, line):
        answer = proxy.send(f"{line}\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        assert answer.split()[1:2] in (["400"], ["405"], ["505"], []), answer


class TestPipelines:
    def test_each_gets_its_own_answer_and_in_order(self, proxy):
        ids = [f"pipelined-{number}" for number in range(6)]
        requests = [f"GET /no/such/{id} HTTP/1.1\r\nHost: {HOST}\r\nX-Request-Id: {id}\r\n" for id in ids]
        message = "\r\n".join(requests) + "Connection: close\r\n\r\n"
        answers = proxy.send(message.encode())
        assert re.findall(r"X-Request-Id: (\S+)", answers, re.IGNORECASE) == ids

    def test_a_body_that_is_too_long_for_its_length_is_not_the_next_ones_answer(self, proxy, web, hidden):
        """One client's rest is never put in front of another's request."""
        proxy.send(posted("Content-Length: 2\r\nConnection: close", "{}", hidden))
        assert hidden not in web.log.read_text()
        assert proxy.ask("GET", "/login").status == 200
