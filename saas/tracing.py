"""Spans of requests, jobs, statements and calls to Redis, sent to a collector in the background.

Imported only where OTEL_EXPORTER_OTLP_ENDPOINT is set. Spans are made here rather than by Django's instrumentation, which
sends whole addresses, and links in mails carry their token there.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.db.backends.signals import connection_created
from django.http.response import HttpResponseBase
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from saas.kit.http import Request
from saas.kit.logs import redact
from saas.kit.rate_limits import OUTSIDE_LIMITS
from tenancy import jobs

SERVICE = "saas"

# An exception's text may hold anything; its kind alone is told.
WITHOUT_TEXT: dict[str, Any] = {"record_exception": False, "set_status_on_exception": False}

tracer = trace.get_tracer(SERVICE)


def start() -> None:
    """Once a process. Raises ValueError for an address that is none."""
    endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        raise ValueError(endpoint)
    resource = Resource(
        {
            "service.name": SERVICE,
            "service.version": settings.VERSION,
            "deployment.environment.name": settings.DEPLOYMENT_ENV,
        }
    )
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
    resource = resource.merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    trace.set_tracer_provider(provider)
    RedisInstrumentor().instrument(tracer_provider=provider)
    connection_created.connect(watch_statements, dispatch_uid="saas.tracing.watch_statements")


class TracingMiddleware:
    """A request's span. It begins a trace of its own: `traceparent` from outside is not believed."""

    def __init__(self, get_response: Callable[[Request], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: Request) -> HttpResponseBase:
        if OUTSIDE_LIMITS.fullmatch(request.path_info):
            return self.get_response(request)
        method = request.method or ""
        with tracer.start_as_current_span(
            method, context=Context(), kind=SpanKind.SERVER, **WITHOUT_TEXT
        ) as span:
            response = self.get_response(request)
            _describe(span, request, response)
        return response


def _describe(span: Span, request: Request, response: HttpResponseBase) -> None:
    caller = getattr(request, "caller", None)
    attributes: dict[str, Any] = {
        "http.request.method": request.method,
        "http.response.status_code": response.status_code,
        "saas.request_id": getattr(request, "request_id", None),
        "saas.organization_id": caller and str(caller.organization_id),
    }
    if request.resolver_match:
        # The pattern, not the path.
        attributes["http.route"] = "/" + request.resolver_match.route
        span.update_name(f"{request.method} {attributes['http.route']}")
    span.set_attributes({name: value for name, value in attributes.items() if value})
    if response.status_code >= 500:
        span.set_status(Status(StatusCode.ERROR))


def watch_statements(connection: Any, **kwargs: Any) -> None:
    if traced_statement not in connection.execute_wrappers:
        connection.execute_wrappers.append(traced_statement)


def traced_statement(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """A statement's span, with its text as it is sent: values are bound by the server and travel apart."""
    text = redact(str(sql))
    with tracer.start_as_current_span(text.partition(" ")[0], kind=SpanKind.CLIENT, **WITHOUT_TEXT) as span:
        span.set_attributes({"db.system.name": "postgresql", "db.query.text": text})
        try:
            return execute(sql, params, many, context)
        except Exception as error:
            _fail(span, error)
            raise


async def traced_job(run_job: Callable[[], Awaitable[Any]], context: Any, worker: Any) -> Any:
    """Around every job: a trace of its own, by its task's name and without its arguments."""
    name = context.job.task_name
    with tracer.start_as_current_span(
        name, context=Context(), kind=SpanKind.CONSUMER, **WITHOUT_TEXT
    ) as span:
        span.set_attributes(
            {"saas.job_id": str(context.job.id), "saas.job_attempt": context.job.attempts + 1}
        )
        try:
            return await run_job()
        except Exception as error:
            _fail(span, error)
            raise


def _fail(span: Span, error: Exception) -> None:
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


def prepare_app(app: Any) -> None:
    """PROCRASTINATE_ON_APP_READY while there are traces."""
    jobs.prepare_app(app)
    app.worker_defaults["worker_middleware"].insert(0, traced_job)
