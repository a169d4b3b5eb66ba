"""The middleware's promise to views: the organization's transaction, whole or not at all. The views here are test-only."""

from types import SimpleNamespace

import pytest
from django.db import connection
from django.http import HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import get_resolver, include, path
from django.views import View
from django_redis import get_redis_connection
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from saas.access import declares
from saas.kit.errors import NotFound
from support.urls import urlpatterns as support_urls
from tenancy.context import org_context, organization_in_force
from tests.accounts.asking import assert_refused, patterns, queries
from tests.conftest import Api

OWNING = {
    "me", "validate", "begin_look", "look",
    "login", "logout", "refresh", "register", "verify_email", "resend_verification", "forgot_password",
    "reset_password", "change_password", "accept_invitation", "checkout", "portal", "stripe_webhook",
    "sign_up", "log_in", "log_out", "verify_email_page", "forgot_password_page", "reset_password_page", "invitation_page",
    "account_password", "billing_checkout", "billing_portal", "billing_invoices",
}  # fmt: skip
METHODS = ("get", "post", "put", "patch", "delete")


def rename():
    assert User.objects.update(name="Changed") > 0


class Failing(APIView):
    def post(self, request, kind):
        rename()
        match kind:
            case "drf":
                raise ValidationError("no")
            case "domain":
                raise NotFound
            case "bug":
                raise RuntimeError("boom")
            case "response":
                return Response({"sorry": True}, status=409)
            case "server":
                return Response({"sorry": True}, status=503)
        return Response({})


def failing_function(request, kind):
    rename()
    if kind == "domain":
        raise NotFound
    if kind == "bug":
        raise RuntimeError("boom")
    return HttpResponse(status=int(kind))


def names(request):
    template = engines["django"].from_string("{% for user in people %}{{ user.name }} {% endfor %}")
    return TemplateResponse(request, template, {"people": User.objects.order_by("name")})


class Where(View):
    def get(self, request):
        seen = organization_in_force(), connection.in_atomic_block, User.objects.count()
        return HttpResponse(" ".join(map(str, seen)))


class Open(APIView):
    """A route that asks for nobody."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request):
        return Response({"in_force": organization_in_force()})


class Owning(APIView):
    owns_transactions = True

    def get(self, request):
        return Response({"in_force": organization_in_force(), "in_transaction": connection.in_atomic_block})


urlpatterns = [
    path("", include("saas.urls")),
    path("failing/<kind>", Failing.as_view()),
    path("failing-function/<kind>", failing_function),
    path("names", names),
    path("where", Where.as_view()),
    path("open", Open.as_view()),
    path("owning", Owning.as_view()),
]
handler400, handler403 = "saas.problems.bad_request", "saas.problems.forbidden"
handler404, handler500 = "saas.problems.not_found", "saas.problems.internal_error"


@pytest.fixture(autouse=True)
def test_routes(settings):
    settings.ROOT_URLCONF = __name__


class TestWrites:
    def name(self, person):
        with org_context(person.organization_id):
            return User.objects.get(id=person.user.id).name

    def test_they_stay_when_all_went_well(self, alice):
        assert alice.api.post("/failing/not").status_code == 200
        assert self.name(alice) == "Changed"

    @pytest.mark.parametrize(
        ("where", "status"),
        [
            ("failing/drf", 422),
            ("failing/domain", 404),
            ("failing/bug", 500),
            ("failing/response", 409),
            ("failing/server", 503),
            ("failing-function/domain", 404),
            ("failing-function/bug", 500),
            ("failing-function/400", 400),
            ("failing-function/503", 503),
        ],
    )
    def test_an_error_leaves_none_behind(self, alice, where, status):
        assert alice.api.post(f"/{where}").status_code == status

        assert not connection.in_atomic_block
        assert self.name(alice) == "Alice"

    def test_an_error_is_a_problem_from_plain_views_too(self, alice):
        assert_refused(alice.api.post("/failing-function/domain"), 404, "not_found")
        assert_refused(alice.api.post("/failing-function/bug"), 500, "internal_error")


class TestContext:
    def test_a_lazy_template_is_rendered_inside(self, alice, bob, charlie):
        assert alice.api.get("/names").content == b"Alice Bob "
        assert charlie.api.get("/names").content == b"Charlie "

    def test_it_is_the_organization_of_the_token(self, alice, bob):
        assert alice.api.get("/where").content.decode() == f"{alice.organization_id} True 2"

    def test_it_is_gone_after_the_request(self, alice):
        alice.api.get("/where")
        alice.api.post("/failing/bug")

        assert organization_in_force() is None
        assert User.objects.count() == 0

    @pytest.mark.parametrize("token", [None, "rubbish"])
    def test_there_is_none_without_a_token(self, alice, token):
        assert Api(token).get("/where").content == b"None False 0"

    def test_there_is_none_for_a_session_that_is_over(self, alice, owner_connection):
        assert alice.api.get("/open").json() == {"in_force": str(alice.organization_id)}
        assert alice.api.get("/where").content.decode() == f"{alice.organization_id} True 1"
        # Behind Redis's back, so that only the session's row can tell.
        owner_connection.execute("UPDATE accounts_session SET revoked_at = now()")
        get_redis_connection("default").flushdb()

        assert alice.api.get("/open").json() == {"in_force": None}
        assert alice.api.get("/where").content == b"None False 0"


class TestViewsThatOwnTheirTransactions:
    def test_get_no_context(self, alice):
        for _ in range(2):
            assert alice.api.get("/owning").json() == {"in_force": None, "in_transaction": False}

    def test_get_a_verified_caller_all_the_same(self, alice):
        assert alice.api.get("/owning").status_code == 200
        with queries() as found:
            assert alice.api.get("/owning").status_code == 200
        assert found == []
        alice.api.post("/auth/logout")
        assert_refused(alice.api.get("/owning"), 401, "invalid_token")

    def test_are_these(self):
        """Whoever adds one opens each of its contexts by hand; that has to be meant."""
        found = {
            pattern.name
            for pattern in patterns(get_resolver("saas.urls").url_patterns)
            if any(
                declares(pattern.callback, "owns_transactions", SimpleNamespace(method=method))
                for method in METHODS
            )
        }
        assert found == OWNING | {pattern.name for pattern in support_urls}
