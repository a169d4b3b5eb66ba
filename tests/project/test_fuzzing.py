"""The OpenAPI document against the server: every answer is a documented one, and none is a 500."""

import os

import schemathesis
import yaml
from django.core.handlers.wsgi import WSGIHandler
from django_redis import get_redis_connection
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from saas.openapi import document

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# More of them by hand: SCHEMATHESIS_EXAMPLES=500.
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "20"))
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def operations():
    """Each operation of the document, tried against the server in this process."""
    schema = schemathesis.openapi.from_wsgi("/openapi.yaml", WSGIHandler())
    return [result.ok() for result in schema.get_all_operations()]


def test_the_document_is_valid():
    validate(yaml.safe_load(document()))


def test_every_answer_is_documented(alice):
    tried = []

    def ask(operation, headers):
        @BOUNDED
        @given(case=operation.as_strategy())
        def try_it(case):
            tried.append(operation.label)
            forget_rate_limits()
            case.call_and_validate(checks=CHECKS, headers=headers)

        try_it()

    for operation in operations():
        ask(operation, {})
        ask(operation, {"Authorization": f"Bearer {alice.access_token}"})
    assert {"POST /auth/login", "GET /users/me", "DELETE /users/org/{id}"} <= set(tried)
    assert len(tried) >= 5 * len(set(tried))


def forget_rate_limits():
    """Their answer has tests of its own; here it would be the only one after a hundred requests."""
    redis = get_redis_connection("default")
    if keys := redis.keys("*:rate:*"):
        redis.delete(*keys)
