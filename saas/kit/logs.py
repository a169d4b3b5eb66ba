"""Log records: whose request they belong to, secrets taken out, one JSON object a line."""

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

NONE = "-"
REDACTED = "[redacted]"
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
IDS = ("request_id", "user_id", "organization_id")
KNOWN = STANDARD.union(IDS)
PLAIN = (str, int, float, type(None))

# One look for what every pattern below needs, since most lines hold none of it.
SUSPICIOUS = (
    *("eyj", "wyi", "wyj", ".ej", "://", "authorization", "bearer", "basic", "cookie", "csrf", "signature"),
    *("v0=", "v1=", "whsec_", "k_live_", "k_test_", "sg.", "$2", "passw", "secret", "token"),
    *("apikey", "api_key", "api-key", "private key"),
)
# Each is one way in which a secret shows; what stands in the group is kept. None may backtrack without bound:
# a client chooses what stands in a line.
SECRETS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # A JWT, a link's token, a signed cookie, or a part of one: base64url of `{"`, of `["`, or of what is compressed.
        r"()(?:eyJ|Wy[IJ]|\.eJ)[\w-]{6,}(?:[.:][\w-]*)*",
        # The password of a URL, which may itself hold a slash or an at-sign.
        r"(://[^\s:/@]{0,100}:)\S{1,200}(?=@)",
        r"(authorization[\"']?\s*[:=,]\s*b?[\"']?)(?:[\w-]+\s+)?[^\s\"',}]+",
        r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}",
        r"(cookie[\"']?\s*[:=]\s*)[^\n]+",
        r"(stripe[-_]signature[\"']?\s*[:=,]\s*b?[\"']?)[^\s\"'}]+",
        r"(\bv[01]=)[\da-f]{16,}",
        r"()(?:whsec|[sr]k_(?:live|test))_\w+",
        r"()SG\.[\w-]{10,}\.[\w-]{10,}",
        r"(\$2[aby]\$\d\d\$)[./A-Za-z\d]{53}",
        # name=value and "name": "value"; the name may have more to it, such as refresh_token or SECRET_KEY.
        r"((?:password|passwd|secret|token|csrf|api[_-]?key|signature)[\w-]{0,30}[\"']?\s{0,9}[:=]\s{0,9})"
        r"(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s,;&)}\]]+)",
        r"(-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)(?s:.*?)(?=-----END|\Z)",
    )
]


class LogContext(Protocol):
    """What a line says about its request or job. `caller` may be None or missing."""

    request_id: str


current: ContextVar[LogContext | None] = ContextVar("log_context", default=None)


def redact(text: str) -> str:
    if not is_suspicious(text):
        return text
    for pattern in SECRETS:
        text = pattern.sub(rf"\g<1>{REDACTED}", text)
    return text


def is_suspicious(text: str) -> bool:
    """Whether `text` may hold a secret. Plain searches take a third of what one regular expression would."""
    folded = text.casefold()
    for sign in SUSPICIOUS:  # noqa: SIM110 - any() would make a generator for each line
        if sign in folded:
            return True
    return False


class ContextFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        context = current.get()
        caller = getattr(context, "caller", None)
        for name, holder in zip(IDS, (context, caller, caller), strict=True):
            setattr(record, name, str(getattr(holder, name, None) or NONE))
        return True


MAY_TELL = frozenset(("msg", "exc_text", "stack_info"))


class RedactFilter(logging.Filter):
    """Takes secrets out of the message, its arguments, the traceback and extra fields, for every handler."""

    formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._message(record), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatter.formatException(record.exc_info)
        texts = {
            name: value
            for name, value in vars(record).items()
            if isinstance(value, str) and (name not in STANDARD or name in MAY_TELL)
        }
        if is_suspicious("\n".join(texts.values())):
            for name, text in texts.items():
                setattr(record, name, redact(text))
        return True

    def _message(self, record: logging.LogRecord) -> str:
        try:
            return record.getMessage()
        except (TypeError, ValueError, KeyError):
            # logging would print the arguments as they are when it finds that they do not fit.
            return f"{record.msg} (its arguments do not fit)"


class JsonFormatter(logging.Formatter):
    """`time` (RFC 3339), `level`, `logger`, `message`, ids, plain extra fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name, NONE) for name in IDS},
        }
        # Only plain values: Django passes a whole request along, and job libraries their arguments.
        extra = {
            name: value
            for name, value in vars(record).items()
            if name not in KNOWN and isinstance(value, PLAIN)
        }
        line = extra | line
        if exception := record.exc_text or (record.exc_info and self.formatException(record.exc_info)):
            line["exception"] = exception
        if record.stack_info:
            line["stack"] = record.stack_info
        try:
            text = orjson.dumps(line).decode()
        except TypeError:  # Half of a surrogate pair, or an integer of more than 64 bits.
            return json.dumps(line)
        # Beyond ASCII a character may steer a terminal; json escapes it.
        return text if text.isascii() else json.dumps(line)


def logging_settings(*, level: str, form: str) -> dict[str, Any]:
    """Django's LOGGING: all lines on standard error, in the form `json` or `line`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "context": {"()": "saas.kit.logs.ContextFilter"},
            "redact": {"()": "saas.kit.logs.RedactFilter"},
        },
        "formatters": {
            "json": {"()": "saas.kit.logs.JsonFormatter"},
            "line": {"format": "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s"},
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "filters": ["context", "redact"], "formatter": form}
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Each request has one line of ours; Django's own line for every 4xx would be its second.
            "django.request": {"level": "ERROR"},
            "procrastinate": {"level": "WARNING"},
            # Each call to Stripe is counted, and one that fails has its line.
            "stripe": {"level": "WARNING"},
        },
    }
