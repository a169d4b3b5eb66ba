import hashlib

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import condition, require_safe

from saas import openapi

YAML = "application/yaml"  # RFC 9512
# Swagger UI writes style elements and shows its icons as data: URLs; scripts are our own files alone.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _etag(request: HttpRequest) -> str:
    return f'"{hashlib.sha256(openapi.document()).hexdigest()[:32]}"'


@require_safe
@condition(etag_func=_etag)
def openapi_document(request: HttpRequest) -> HttpResponse:
    return HttpResponse(openapi.document(), content_type=YAML, headers={"Cache-Control": "no-cache"})


@require_safe
def swagger_ui(request: HttpRequest) -> HttpResponse:
    response = render(request, "saas/docs.html")
    response.headers["Content-Security-Policy"] = DOCS_POLICY
    return response
