import hmac
import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from django_prometheus.middleware import Metrics  # type: ignore[import-untyped]
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from saas.kit.errors import NotFound
from saas.kit.http import Request, is_local

# A client may invent methods, and each would be a series of its own.
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
NO_METHOD, NO_VIEW = "<invalid method>", "<unnamed view>"


class RequestMetrics(Metrics):  # type: ignore[misc]
    """Those of django-prometheus' metrics that are read: its seventeen cost a request more than its query does."""

    kept = frozenset(
        (
            "django_http_requests_latency_seconds_by_view_method",
            "django_http_responses_total_by_status_view_method",
            "django_http_exceptions_total_by_type",
            "django_http_exceptions_total_by_view",
        )
    )

    def register_metric(self, metric_cls: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        return super().register_metric(metric_cls, name, *args, **kwargs) if name in self.kept else None


class MetricsMiddleware:
    """Counts and times each request under its view's name, all other middlewares included."""

    def __init__(self, get_response: Callable[[Request], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.metrics = RequestMetrics.get_instance()
        # Of each label's values there are few.
        self.latency = cache(self.metrics.requests_latency_by_view_method.labels)
        self.responses = cache(self.metrics.responses_by_status_view_method.labels)

    def __call__(self, request: Request) -> HttpResponseBase:
        started_at = time.perf_counter()
        response = self.get_response(request)
        view, method = _view_name(request), request.method if request.method in METHODS else NO_METHOD
        seconds = time.perf_counter() - started_at
        self.latency(view, method).observe(seconds)
        self.responses(response.status_code, view, method).inc()
        return response

    def process_exception(self, request: Request, exception: Exception) -> None:
        self.metrics.exceptions_by_type.labels(type(exception).__name__).inc()
        self.metrics.exceptions_by_view.labels(_view_name(request)).inc()


def _view_name(request: HttpRequest) -> str:
    match = request.resolver_match
    return (match and match.view_name) or NO_VIEW


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """All workers' metrics, summed; 404 for whoever may not read them. No label names a tenant."""
    if not may_read_metrics(request):
        raise NotFound
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def may_read_metrics(request: HttpRequest) -> bool:
    """With METRICS_TOKEN whoever presents it, else this machine alone."""
    if settings.METRICS_TOKEN:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        is_same = hmac.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
        return scheme.lower() == "bearer" and is_same
    return is_local(request)


def _registry() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
