"""The OpenAPI document against the server, with requests that nobody thought of."""

import schemathesis
import yaml
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.services.sessions import open_session, session_tokens
from saas.openapi import document
from tenancy.context import org_context
from tests.conftest import DEVICE


def no_internal_error(ctx, response, case):
    """Billing is not configured here, and its 503 says so; a 500 is always a fault of ours."""
    assert response.status_code != 500


# What must hold of every answer, whatever was sent.
CHECKS = [
    no_internal_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# The same examples every time, or an unlucky one would stop whoever comes by.
bounded = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
schema = schemathesis.openapi.from_dict(yaml.safe_load(document()))
schema.app = get_wsgi_application()


def assert_documented(case, headers):
    response = case.call(headers=headers)
    case.validate_response(response, checks=CHECKS)
    if response.status_code >= 400 and not case.path.startswith("/health"):
        assert response.headers["content-type"] == ["application/problem+json"], response
        assert response.json()["status"] == response.status_code


@schema.parametrize()
@bounded
def test_with_a_token(case, alice, charlie):
    # A new one each time: some of what is called ends the session.
    with org_context(alice.organization_id):
        session = open_session(user=alice.user, device=DEVICE)
    assert_documented(case, {"Authorization": f"Bearer {session_tokens(session).access_token}"})


@schema.parametrize()
@bounded
def test_without_one(case):
    assert_documented(case, {})
