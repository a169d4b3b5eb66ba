"""The OpenAPI document: what views declare, and the errors that each operation can answer."""

import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.renderers import OpenApiYamlRenderer
from rest_framework.views import APIView

from accounts.tokens import InvalidToken
from saas.access import SAFE_METHODS
from saas.kit.errors import (
    DomainError,
    MalformedRequest,
    NotAuthenticated,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    Unavailable,
    ValidationFailed,
)
from saas.problems import CONTENT_TYPE, Forbidden, NotAcceptable, UnsupportedMediaType
from tenancy.access import SubscriptionRequired

TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "An error (RFC 9457). Clients switch on `code`.",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "instance": {"type": "string", "format": "uri-reference"},
        "code": TEXT,
        "request_id": TEXT,
        "errors": {
            "type": "array",
            "description": "What is wrong with which field of the body, or with which query parameter.",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer, such as `#/email`"},
                    "parameter": TEXT,
                    "code": TEXT,
                    "detail": TEXT,
                },
            },
        },
    },
}
HEADERS = {
    "X-Request-Id": "Names this request in our logs; yours, if it sent a fitting one.",
    "RateLimit-Policy": "The limit that this request counted against.",
    "RateLimit": "What is left of it, and when there is more.",
    "Retry-After": "Seconds to wait before the next try.",
    "WWW-Authenticate": "How to authenticate (RFC 6750).",
}
RATE_LIMIT_HEADERS = ("RateLimit-Policy", "RateLimit")
HEADERS_OF = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}

STANDARD_ACTIONS = {
    "list": "list",
    "retrieve": "get",
    "create": "create",
    "update": "replace",
    "partial_update": "update",
    "destroy": "delete",
}
VERBS = {"GET": "get", "POST": "", "PUT": "replace", "PATCH": "update", "DELETE": "delete"}


class ProblemAutoSchema(AutoSchema):
    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        codes: dict[int, set[str]] = defaultdict(set)
        for error in self._problems(operation):
            codes[error.status].add(error.code)
        for status, names in sorted(codes.items()):
            operation["responses"].setdefault(str(status), self._problem_response(names))
        for status, response in operation["responses"].items():
            response["headers"] = self._headers(int(status)) | response.get("headers", {})
        operation["responses"] = dict(sorted(operation["responses"].items()))
        return operation

    def get_auth(self) -> list[dict[str, Any]]:
        auths: list[dict[str, Any]] = super().get_auth()
        # A view without permissions takes a caller into account, but needs none.
        return auths if self.view.get_permissions() or {} in auths else [*auths, {}]

    def get_operation_id(self) -> str:
        action = getattr(self.view, "action", None)
        if action and action not in STANDARD_ACTIONS:
            return str(action)
        verb = STANDARD_ACTIONS[action] if action else VERBS[self.method]
        return "_".join([verb, *self._words()] if verb else self._words())

    def get_tags(self) -> list[str]:
        return self._words()[:1]

    def _words(self) -> list[str]:
        words = re.sub(r"{[^}]*}", "", self.path).replace("-", "_").split("/")
        return [word for word in words if word]

    def _problems(self, operation: dict[str, Any]) -> Iterator[type[DomainError]]:
        yield from (MalformedRequest, DomainError, Unavailable)
        if self.view.content_negotiation_class is APIView.content_negotiation_class:
            yield NotAcceptable
        security = operation.get("security", [])
        if any(security):
            yield InvalidToken
            if {} not in security:
                yield NotAuthenticated
                if self.method not in SAFE_METHODS and not self._declares("works_read_only"):
                    yield SubscriptionRequired
        if "requestBody" in operation:
            yield from (PayloadTooLarge, UnsupportedMediaType, ValidationFailed)
        places = {parameter["in"] for parameter in operation.get("parameters", [])}
        if "query" in places:
            yield ValidationFailed
        if "path" in places:
            yield NotFound
        if self._is_rate_limited:
            yield RateLimited
        yield from self._permissions()
        yield from getattr(self.view, "may_raise", ())
        yield from getattr(self._handler, "may_raise", ())

    @property
    def _handler(self) -> Any:
        return getattr(self.view, getattr(self.view, "action", None) or self.method.lower(), None)

    def _declares(self, attribute: str) -> bool:
        return bool(getattr(self._handler, attribute, getattr(self.view, attribute, False)))

    def _permissions(self) -> Iterator[type[DomainError]]:
        for permission in self.view.get_permissions():
            yield from getattr(permission, "may_raise", ())
            if code := getattr(permission, "code", None):
                yield type("PermissionProblem", (Forbidden,), {"code": code})

    @property
    def _is_rate_limited(self) -> bool:
        return bool(getattr(self.view, "is_rate_limited", True))

    def _problem_response(self, codes: set[str]) -> dict[str, Any]:
        schema = self._component("Problem", ResolvedComponent.SCHEMA, PROBLEM)
        return {
            "description": ", ".join(f"`{code}`" for code in sorted(codes)),
            "content": {CONTENT_TYPE: {"schema": schema}},
        }

    def _headers(self, status: int) -> dict[str, Any]:
        limits = RATE_LIMIT_HEADERS if self._is_rate_limited else ()
        return {
            name: self._component(
                name, ResolvedComponent.HEADER, {"description": HEADERS[name], "schema": TEXT}
            )
            for name in ("X-Request-Id", *limits, *HEADERS_OF.get(status, ()))
        }

    def _component(self, name: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
        component = ResolvedComponent(name, kind, schema, object=name)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        reference: dict[str, Any] = component.ref
        return reference


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.api.authentication.VerifiedCaller"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


# Of the first who ask at once one makes it: the library's generator changes what its threads share.
_making = threading.Lock()


def document() -> bytes:
    with _making:
        return _document()


@cache
def _document() -> bytes:
    """The whole document in YAML. The code that it describes does not change while a process lives."""
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    text: bytes = OpenApiYamlRenderer().render(schema)  # type: ignore[no-untyped-call]
    return text
