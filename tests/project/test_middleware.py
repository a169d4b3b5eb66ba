import logging
import re

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path

from saas.kit import logs

REQUEST_ID = re.compile(r"[0-9a-f]{32}")


def echo(request):
    return HttpResponse(request.body, content_type="text/plain")


def caching(request):
    return HttpResponse("x", headers={"Cache-Control": "max-age=600", "Content-Security-Policy": "own"})


def unavailable(request):
    return HttpResponse(status=503)


def failing(request):
    raise RuntimeError("broken")


urlpatterns = [
    path("echo", echo),
    path("failing", failing),
    path("unavailable", unavailable),
    path("webhooks/stripe", echo),
    path("caching", caching),
    path("", include("saas.urls")),
]
handler400 = "saas.problems.bad_request"
handler404 = "saas.problems.not_found"
handler500 = "saas.problems.internal_error"

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def client():
    return Client()


class TestRequestId:
    @pytest.mark.parametrize("given", ["12345678", "a.B_c-9" * 9, "x" * 64])
    def test_a_fitting_one_is_taken_over(self, client, given):
        assert client.get("/echo", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given

    @pytest.mark.parametrize(
        "given", ["", "1234567", "x" * 65, "has space", "quote'quote", "12345678\n", "ünicode-id"]
    )
    def test_another_one_is_made(self, client, given):
        response = client.get("/echo", headers={"X-Request-Id": given})
        assert REQUEST_ID.fullmatch(response.headers["X-Request-Id"])

    def test_each_request_has_its_own(self, client):
        assert client.get("/echo").headers["X-Request-Id"] != client.get("/echo").headers["X-Request-Id"]

    def test_an_error_has_one(self, client):
        assert REQUEST_ID.fullmatch(client.get("/no/such").headers["X-Request-Id"])


class TestHeaders:
    @pytest.mark.parametrize("path", ["/echo", "/no/such"])
    def test_they_are_on_every_answer(self, client, path):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"].split("; ")
        assert policy == [
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "sandbox",
        ]
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]

    def test_a_refused_host_gets_them_too(self, client):
        headers = client.get("/echo", headers={"Host": "evil.example.com"}).headers
        assert headers["X-Content-Type-Options"] == "nosniff"

    def test_the_length_is_told(self, client):
        assert client.post("/echo", b"hello", "text/plain").headers["Content-Length"] == "5"

    def test_a_view_may_say_otherwise(self, client):
        headers = client.get("/caching").headers
        assert headers["Cache-Control"] == "max-age=600"
        assert headers["Content-Security-Policy"] == "own"


class TestHost:
    @pytest.mark.parametrize("path", ["/echo", "/docs", "/no/such", "/healthy"])
    def test_another_name_is_refused(self, client, path):
        assert client.get(path, headers={"Host": "evil.example.com"}).status_code == 400

    def test_a_probe_may_name_the_process_by_its_address(self, client):
        assert client.get("/health/live", headers={"Host": "10.1.2.3:8000"}).status_code == 200


class TestAccessLog:
    def test_each_request_has_one_line(self, client, caplog):
        with caplog.at_level(logging.INFO, "saas.access"):
            client.get("/echo?token=hunter2")
        (record,) = [record for record in caplog.records if record.name == "saas.access"]
        assert (record.method, record.path, record.status) == ("GET", "/echo", 200)
        assert record.duration_ms >= 0
        assert "hunter2" not in caplog.text

    def test_a_path_with_a_line_break_stays_one_line(self, client, caplog):
        with caplog.at_level(logging.INFO, "saas.access"):
            client.get("/no%0Asuch")
        assert "/no%0Asuch" in caplog.text

    @pytest.mark.parametrize(
        ("path", "headers", "code"),
        [
            ("/users/me", {}, "not_authenticated"),
            ("/users/me", {"Authorization": "Bearer rubbish"}, "invalid_token"),
            ("/no/such", {"Accept": "text/html"}, "not_found"),
            ("/echo", {"Host": "evil.example.com"}, "malformed_request"),
        ],
    )
    def test_a_refusal_says_why(self, client, caplog, path, headers, code):
        with caplog.at_level(logging.INFO, "saas.access"):
            client.get(path, headers=headers)
        [record] = [record for record in caplog.records if record.name == "saas.access"]
        assert record.code == code

    def test_what_was_not_refused_has_no_code(self, client, caplog):
        with caplog.at_level(logging.INFO, "saas.access"):
            client.get("/echo")
        assert not hasattr(caplog.records[-1], "code")


class TestBodyLimit:
    def test_64_kib_pass(self, client):
        assert client.post("/echo", b"x" * 65536, "text/plain").status_code == 200

    def test_more_is_refused(self, client):
        assert client.post("/echo", b"x" * 65537, "text/plain").status_code == 413

    def test_stripe_may_send_1_mib(self, client):
        assert client.post("/webhooks/stripe", b"x" * 1024 * 1024, "text/plain").status_code == 200
        assert client.post("/webhooks/stripe", b"x" * (1024 * 1024 + 1), "text/plain").status_code == 413

    @pytest.mark.parametrize("length", ["-1", "+5", "5 ", "0x5", "1e1", "five", "\u0665", "9" * 30])
    def test_a_length_that_is_none_is_refused(self, client, length):
        response = client.post("/echo", b"hello", "text/plain", CONTENT_LENGTH=length)
        assert (response.status_code, response.json()["code"]) == (400, "malformed_request")

    def test_a_huge_length_is_refused_unread(self, client):
        assert client.post("/echo", b"hello", "text/plain", CONTENT_LENGTH="9" * 18).status_code == 413

    def test_a_length_without_end_is_refused(self, client):
        response = client.generic("POST", "/echo", b"", HTTP_TRANSFER_ENCODING="chunked")
        assert response.status_code == 400


class TestLogContext:
    def test_what_django_says_of_a_request_has_its_id(self, client, caplog):
        client.raise_request_exception = False
        request_id = client.get("/failing").headers["X-Request-Id"]
        assert {record.name for record in caplog.records} == {"saas.access", "django.request"}
        assert {record.request_id for record in caplog.records} == {request_id}

    def test_what_django_says_after_all_middlewares_has_its_id(self, client, caplog):
        request_id = client.get("/unavailable").headers["X-Request-Id"]
        assert {record.name for record in caplog.records} == {"saas.access", "django.request"}
        assert {record.request_id for record in caplog.records} == {request_id}

    def test_it_ends_with_the_request(self, client):
        client.get("/echo")
        assert logs.current.get() is None
