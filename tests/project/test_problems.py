"""Every error has one shape, wherever it comes from. The views here raise; the rest is the real project."""

import logging

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError, connection, transaction
from django.http import Http404, HttpResponse
from django.test import Client
from django.urls import include, path
from rest_framework import exceptions, permissions, serializers
from rest_framework.response import Response
from rest_framework.views import APIView

from saas.kit.errors import DomainError, RateLimited
from saas.kit.redis import RedisUnavailable
from saas.kit.serializers import StrictCharField, StrictSerializer

SECRET_TEXT = "the database is at 10.0.0.7"


class SeatLimitReached(DomainError):
    code = "seat_limit_reached"
    status = 409
    title = "All seats are taken"
    detail = "Invite nobody else."


class OwnersOnly(permissions.BasePermission):
    code = "insufficient_role"
    message = "Only owners may do this."

    def has_permission(self, request, view):
        return False


RAISED = {
    "domain": SeatLimitReached(limit=5),
    "limited": RateLimited(2.5),
    "parse": exceptions.ParseError(SECRET_TEXT),
    "anonymous": exceptions.NotAuthenticated(SECRET_TEXT),
    "token": exceptions.AuthenticationFailed(SECRET_TEXT),
    "denied": exceptions.PermissionDenied(),
    "django-denied": PermissionDenied(SECRET_TEXT),
    "missing": exceptions.NotFound(SECRET_TEXT),
    "http404": Http404(SECRET_TEXT),
    "media": exceptions.UnsupportedMediaType(SECRET_TEXT),
    "throttled": exceptions.Throttled(wait=7),
    "suspicious": SuspiciousOperation(SECRET_TEXT),
    "database": OperationalError(SECRET_TEXT),
    "interface": InterfaceError(SECRET_TEXT),
    "redis": RedisUnavailable(SECRET_TEXT),
    "bug": RuntimeError(SECRET_TEXT),
}
EXPECTED = {
    "domain": (409, "seat_limit_reached"),
    "limited": (429, "rate_limited"),
    "parse": (400, "malformed_request"),
    "anonymous": (401, "not_authenticated"),
    "token": (401, "invalid_token"),
    "denied": (403, "permission_denied"),
    "django-denied": (403, "permission_denied"),
    "missing": (404, "not_found"),
    "http404": (404, "not_found"),
    "media": (415, "unsupported_media_type"),
    "throttled": (429, "rate_limited"),
    "suspicious": (400, "malformed_request"),
    "database": (503, "unavailable"),
    "interface": (503, "unavailable"),
    "redis": (503, "unavailable"),
    "bug": (500, "internal_error"),
}


class Input(StrictSerializer):
    email = serializers.EmailField()
    items = serializers.ListField(child=StrictCharField(), required=False)


class Open(APIView):
    authentication_classes = ()
    permission_classes = ()


class Raising(Open):
    def get(self, request, kind):
        raise RAISED[kind]


class Accepting(Open):
    def post(self, request):
        serializer = Input(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(serializer.validated_data)


class Guarded(Open):
    permission_classes = (OwnersOnly,)

    def get(self, request):
        raise NotImplementedError


def plain(request, kind):
    raise RAISED[kind]


def in_transaction(get_response):
    """A middleware that owns a transaction which has written, as a request's does; it tells its id."""

    def middleware(request):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text")
            (xid,) = cursor.fetchone()
            response = get_response(request)
        response.headers["X-Xid"] = xid
        return response

    return middleware


def fine(request):
    return HttpResponse("fine")


urlpatterns = [
    path("api/<kind>", Raising.as_view()),
    path("plain/<kind>", plain),
    path("fine", fine),
    path("accepting", Accepting.as_view()),
    path("guarded", Guarded.as_view()),
    path("", include("saas.urls")),
]
handler400 = "saas.problems.bad_request"
handler403 = "saas.problems.forbidden"
handler404 = "saas.problems.not_found"
handler500 = "saas.problems.internal_error"

pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


def problem(response, status, code):
    body = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["type"].endswith(f"/problems/{code}")
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["Cache-Control"] == "no-store"
    assert SECRET_TEXT not in response.text
    return body


class TestEveryError:
    @pytest.mark.parametrize("kind", RAISED)
    def test_of_an_api_view(self, client, kind):
        assert problem(client.get(f"/api/{kind}"), *EXPECTED[kind])["instance"] == f"/api/{kind}"

    @pytest.mark.parametrize("kind", RAISED)
    def test_of_a_plain_view(self, client, kind):
        problem(client.get(f"/plain/{kind}"), *EXPECTED[kind])

    def test_an_unknown_path(self, client):
        assert problem(client.get("/nö/such?x=1"), 404, "not_found")["instance"] == "/n%C3%B6/such"

    def test_a_wrong_method(self, client):
        response = client.delete("/accepting")
        problem(response, 405, "method_not_allowed")
        assert response.headers["Allow"] == "POST, OPTIONS"

    def test_a_wrong_method_of_a_plain_view(self, client):
        response = client.delete("/docs")
        problem(response, 405, "method_not_allowed")
        assert response.headers["Allow"] == "GET, HEAD"

    def test_a_made_up_method(self, client):
        problem(client.generic("BREW", "/accepting"), 405, "method_not_allowed")

    def test_options_says_which_methods_work_and_no_more(self, client):
        response = client.options("/accepting")
        assert response.json() == {"methods": ["POST", "OPTIONS"]}

    def test_an_unacceptable_media_type(self, client):
        problem(
            client.post("/accepting", "{}", "application/json", headers={"Accept": "image/png"}),
            406,
            "not_acceptable",
        )

    @pytest.mark.parametrize(
        "media_type",
        ["text/plain", "application/x-www-form-urlencoded", "", "nonsense", "*/*", "application/*"],
    )
    def test_an_unsupported_media_type(self, client, media_type):
        problem(client.generic("POST", "/accepting", b"a=1", media_type), 415, "unsupported_media_type")

    @pytest.mark.parametrize("body", ["nonsense", "[]", '{"email": "\\u0000"}', '{"a": 1, "a": 1}'])
    def test_a_malformed_body(self, client, body):
        problem(client.post("/accepting", body, "application/json"), 400, "malformed_request")

    def test_a_host_that_is_not_ours(self, client):
        problem(client.get("/docs", headers={"Host": "evil.example.com"}), 400, "malformed_request")

    def test_a_body_that_is_too_large(self, client):
        problem(client.post("/accepting", "x" * 65537, "application/json"), 413, "payload_too_large")


class TestDetails:
    def test_an_error_of_ours_keeps_its_members(self, client):
        body = client.get("/api/domain").json()
        assert (body["title"], body["detail"], body["limit"]) == (
            "All seats are taken",
            "Invite nobody else.",
            5,
        )

    def test_each_field_has_its_pointer(self, client):
        response = client.post("/accepting", '{"items": ["a", 1], "x/y": 1}', "application/json")
        errors = problem(response, 422, "validation_failed")["errors"]
        assert {(error["pointer"], error["code"]) for error in errors} == {
            ("#/email", "required"),
            ("#/items/1", "invalid"),
            ("#/x~1y", "unknown_field"),
        }

    def test_a_permission_says_why(self, client):
        body = problem(client.get("/guarded"), 403, "insufficient_role")
        assert body["detail"] == "Only owners may do this."

    @pytest.mark.parametrize(
        ("kind", "challenge"), [("anonymous", "Bearer"), ("token", 'Bearer error="invalid_token"')]
    )
    def test_401_says_how_to_authenticate(self, client, kind, challenge):
        assert client.get(f"/api/{kind}").headers["WWW-Authenticate"] == challenge

    @pytest.mark.parametrize(
        ("kind", "seconds"), [("limited", "3"), ("throttled", "7"), ("database", "5"), ("redis", "5")]
    )
    def test_429_and_503_say_when_to_come_back(self, client, kind, seconds):
        assert client.get(f"/api/{kind}").headers["Retry-After"] == seconds

    def test_a_fault_of_ours_is_logged_with_its_traceback(self, client, caplog):
        with caplog.at_level(logging.ERROR, "django.request"):
            client.get("/api/bug")
        assert SECRET_TEXT in caplog.text

    def test_an_outage_is_logged(self, client, caplog):
        client.get("/api/database")
        assert SECRET_TEXT in caplog.text


class TestRollback:
    @pytest.fixture
    def outcome(self, client, settings):
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.in_transaction"]

        def of(path):
            xid = client.get(path).headers["X-Xid"]
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_xact_status(%s::text::xid8)", [xid])
                return cursor.fetchone()[0]

        return of

    def test_without_an_error_the_transaction_is_committed(self, outcome):
        assert outcome("/fine") == "committed"

    @pytest.mark.parametrize(
        "path", [f"/{view}/{kind}" for view in ("api", "plain") for kind in RAISED] + ["/no/such"]
    )
    def test_an_error_takes_back_what_its_transaction_wrote(self, outcome, path):
        assert outcome(path) == "aborted"
