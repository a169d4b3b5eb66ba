"""What is logged as an error, sent to Sentry in the background: just the fields named here, with secrets taken out."""

import logging
import re
from typing import Any

import sentry_sdk
from django.conf import settings
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.excepthook import ExcepthookIntegration
from sentry_sdk.integrations.logging import LoggingIntegration, ignore_logger

from saas.kit import logs
from saas.kit.errors import DomainError

# All that an event may hold. Not here: the request, the person, breadcrumbs, the log record's extra fields, the
# command's arguments.
KEPT = frozenset(
    [
        "event_id",
        "timestamp",
        "level",
        "logger",
        "platform",
        "release",
        "environment",
        "server_name",
        "logentry",
        "exception",
        "sdk",
    ]
)
TAGS = ("request_id", "organization_id")
# Errors reach people who may not see customers' data, so more is taken out than of a log's line.
PERSONAL = [
    # PostgreSQL quotes whole rows there.
    re.compile(r"\n(?:DETAIL|CONTEXT):(?s:.*)"),
    re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
    # A link's token, a key: long, mixed and without a name beside it. Ids are lower case.
    re.compile(r"(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{32,}"),
]


def start() -> None:
    """Raises ValueError for an address that is none."""
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        release=settings.VERSION,
        environment=settings.DEPLOYMENT_ENV,
        default_integrations=False,
        auto_enabling_integrations=False,
        # Warnings count only with an exception: a job's failed try is one, and the next may be an hour away.
        integrations=[
            LoggingIntegration(level=None, event_level=logging.WARNING),
            ExcepthookIntegration(),
            AtexitIntegration(callback=lambda pending, timeout: None),
            DedupeIntegration(),
        ],
        before_send=before_send,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
    )
    # Of a Sentry or a collector that is away Sentry can't be told.
    for name in ("sentry_sdk.errors", "opentelemetry.*", "urllib3.connectionpool"):
        ignore_logger(name)


def before_send(event: Any, hint: dict[str, Any]) -> Any:
    if is_expected(event, hint):
        return None
    kept = {name: clean(value) for name, value in event.items() if name in KEPT}
    kept.get("logentry", {}).pop("params", None)
    context = logs.current.get()
    ids = (getattr(context, "request_id", None), _organization_id(context))
    kept["tags"] = {name: str(value) for name, value in zip(TAGS, ids, strict=True) if value}
    return kept


def is_expected(event: Any, hint: dict[str, Any]) -> bool:
    error = hint["exc_info"][1] if hint.get("exc_info") else None
    if isinstance(error, DomainError):
        return error.status < 500
    # Django has a line for each answer of 5xx, also for those that we mean.
    return error is None and (event.get("level") == "warning" or event.get("logger") == "django.request")


def clean(value: Any) -> Any:
    if isinstance(value, str):
        text = logs.redact(value)
        for pattern in PERSONAL:
            text = pattern.sub(logs.REDACTED, text)
        return text
    if isinstance(value, dict):
        return {name: clean(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    return value


def _organization_id(context: Any) -> Any:
    return getattr(getattr(context, "caller", None), "organization_id", None)
