from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache

import pytest
import yaml
from django.test import Client
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from openapi_spec_validator import validate
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from saas import openapi
from saas.kit.errors import DomainError, may_raise
from saas.kit.serializers import StrictSerializer


class SeatLimitReached(DomainError):
    code = "seat_limit_reached"
    status = 409


class IsOwner(BasePermission):
    code = "insufficient_role"


class Member(StrictSerializer):
    name = serializers.CharField()


class Members(ViewSet):
    authentication_classes = ()
    permission_classes = (IsOwner,)
    serializer_class = Member

    def list(self, request):
        return Response([])

    @may_raise(SeatLimitReached)
    def create(self, request):
        return Response({})

    def destroy(self, request, pk):
        return Response(status=204)

    @action(detail=False)
    def count_seats(self, request):
        return Response({})


EXAMPLE = [
    path("org/members", Members.as_view({"get": "list", "post": "create"})),
    path("org/members/<uuid:pk>", Members.as_view({"delete": "destroy"})),
    path("org/members/seats", Members.as_view({"get": "count_seats"})),
]


@cache
def example():
    return SchemaGenerator(patterns=EXAMPLE).get_schema(request=None, public=True)


@pytest.fixture
def document():
    return yaml.safe_load(Client().get("/openapi.yaml").content)


def operations(document):
    return [
        (place, method, operation)
        for place, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


class TestProject:
    def test_the_document_is_valid(self, document):
        validate(document)

    def test_operation_ids_are_unique(self, document):
        ids = [operation["operationId"] for _, _, operation in operations(document)]
        assert sorted(ids) == sorted(set(ids))

    def test_every_error_is_a_problem(self, document):
        for place, method, operation in operations(document):
            for status, response in operation["responses"].items():
                if int(status) >= 400 and not (status == "503" and place.startswith("/health")):
                    assert list(response["content"]) == ["application/problem+json"], (place, method, status)

    def test_every_answer_has_its_request_id(self, document):
        for _, _, operation in operations(document):
            assert all("X-Request-Id" in response["headers"] for response in operation["responses"].values())

    def test_health_counts_against_no_limit(self, document):
        responses = document["paths"]["/health"]["get"]["responses"]
        assert "429" not in responses
        assert "RateLimit" not in responses["200"]["headers"]

    def test_it_is_kept_by_its_etag(self):
        first = Client().get("/openapi.yaml")
        again = Client().get("/openapi.yaml", headers={"If-None-Match": first.headers["ETag"]})
        assert first.headers["Content-Type"] == "application/yaml"
        assert (again.status_code, again.content) == (304, b"")


class TestOperation:
    @pytest.mark.parametrize(
        ("path", "method", "operation_id", "statuses"),
        [
            ("/org/members", "get", "list_org_members", "200 400 403 406 429 500 503"),
            ("/org/members", "post", "create_org_members", "201 400 403 406 409 413 415 422 429 500 503"),
            ("/org/members/{id}", "delete", "delete_org_members", "204 400 403 404 406 429 500 503"),
            ("/org/members/seats", "get", "count_seats", "200 400 403 406 429 500 503"),
        ],
    )
    def test_it_lists_what_it_can_answer(self, path, method, operation_id, statuses):
        operation = example()["paths"][path][method]
        assert operation["operationId"] == operation_id
        assert " ".join(operation["responses"]) == statuses

    def test_it_names_the_codes(self):
        responses = example()["paths"]["/org/members"]["post"]["responses"]
        assert responses["409"]["description"] == "`seat_limit_reached`"
        assert responses["403"]["description"] == "`insufficient_role`"

    def test_it_documents_headers(self):
        responses = example()["paths"]["/org/members"]["get"]["responses"]
        assert responses["200"]["headers"].keys() == {"X-Request-Id", "RateLimit", "RateLimit-Policy"}
        assert "Retry-After" in responses["429"]["headers"]


class TestDocs:
    def test_the_page_needs_no_outside_asset_and_no_inline_script(self):
        response = Client().get("/docs")
        assert response.status_code == 200
        assert "//" not in response.text
        assert "<script>" not in response.text
        policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "connect-src 'self';" in policy

    def test_its_assets_are_there(self):
        page = Client().get("/docs").text
        assets = [part.split('"')[0] for part in page.split('"/static/')[1:]]
        assert len(assets) == 4
        for asset in assets:
            with closing(Client().get(f"/static/{asset}")) as response:
                assert response.status_code == 200


def test_those_who_ask_first_and_at_once_all_get_it():
    openapi._document.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        documents = list(pool.map(lambda _: openapi.document(), range(16)))
    assert len(set(documents)) == 1
    assert openapi._document.cache_info().misses == 1
