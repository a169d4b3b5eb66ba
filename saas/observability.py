"""Errors to Sentry and traces to OpenTelemetry, each by one variable. While it is empty, nothing of it is imported."""

from importlib import import_module

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

REQUIREMENTS = "requirements-observability.lock"


def start() -> None:
    """Once a process; for gunicorn's workers after the fork, since threads do not come along.

    Raises ImproperlyConfigured if a package is missing or an address is none.
    """
    if settings.SENTRY_DSN:
        _load("SENTRY_DSN", "saas.error_reports")
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        _load("OTEL_EXPORTER_OTLP_ENDPOINT", "saas.tracing")


def _load(variable: str, module: str) -> None:
    try:
        loaded = import_module(module)
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(
            f"{variable} is set, but {error.name} is not installed: "
            f"pip install --require-hashes --only-binary=:all: -r {REQUIREMENTS}"
        ) from error
    try:
        loaded.start()
    except ValueError as error:
        # Without the address, which may hold a key.
        raise ImproperlyConfigured(f"{variable} is no address that can be used") from error
