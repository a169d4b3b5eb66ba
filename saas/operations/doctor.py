"""Is the platform well? Each examination says what it found; what ails has a line of what to do about it."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Literal, NamedTuple

from django.conf import settings
from django.core import checks, mail
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections

from accounts.keys import key_directory
from billing import stripe_client
from saas import probe
from saas.kit import clock
from saas.kit.errors import DomainError
from saas.kit.redis import RedisUnavailable, ping
from tenancy.inspection import inspect_isolation

SECONDS = 5
CLOCK_SECONDS = 5
KEY_DAYS = 365
HEARTBEAT_SECONDS = 60
QUEUE_SECONDS = 300
HEARTBEAT = "SELECT extract(epoch FROM clock_timestamp() - max(last_heartbeat)) FROM procrastinate_workers"
WAITING = """
    SELECT count(*), extract(epoch FROM clock_timestamp() - min(coalesce(j.scheduled_at, e.at)))
    FROM procrastinate_jobs j JOIN procrastinate_events e ON e.job_id = j.id AND e.type = 'deferred'
    WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())
"""

State = Literal["ok", "skipped", "trouble"]


class Finding(NamedTuple):
    name: str
    state: State
    detail: str
    # What to do about it.
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.state:8} {self.name}: {self.detail}"
        return f"{line} -> {self.remedy}" if self.remedy else line


class Trouble(Exception):
    def __init__(self, detail: str, remedy: str) -> None:
        self.detail, self.remedy = detail, remedy


class NotExamined(Exception):
    """There is nothing to examine here, which is no trouble; the message says why."""


def examine() -> Iterator[Finding]:
    for name, (examination, remedy) in EXAMINATIONS.items():
        try:
            yield Finding(name, "ok", examination())
        except NotExamined as error:
            yield Finding(name, "skipped", str(error))
        except Trouble as trouble:
            yield Finding(name, "trouble", trouble.detail, trouble.remedy)
        except (Error, RedisUnavailable, DomainError, OSError, ImproperlyConfigured) as error:
            yield Finding(name, "trouble", " ".join(str(error).split()) or type(error).__name__, remedy)


def examine_settings() -> str:
    """`check --deploy`, in development `check`."""
    messages = [
        message
        for message in checks.run_checks(include_deployment_checks=not settings.IS_DEVELOPMENT)
        if message.level >= checks.WARNING and not message.is_silenced()
    ]
    if messages:
        raise Trouble(
            "; ".join(f"{message.id}: {message.msg}" for message in messages),
            "; ".join(message.hint for message in messages if message.hint)
            or "run `manage.py check --deploy`",
        )
    return f"{settings.DEPLOYMENT_ENV}, nothing to complain about"


def examine_databases() -> str:
    """Each role can log in, and is the one that its variable is for."""
    expected = {
        "default": "saas_app",
        "owner": "saas_owner",
        "worker": "saas_worker",
        "support": "saas_support",
    }
    for alias in settings.DATABASES:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_user")
            role = cursor.fetchone()[0]
        if role != expected[alias]:
            raise Trouble(
                f"{settings.DATABASE_ROLES[alias]} logs in as {role}", f"name {expected[alias]} there"
            )
    return f"{', '.join(expected[alias] for alias in settings.DATABASES)} can log in"


def examine_fence() -> str:
    if "owner" not in settings.DATABASES:
        raise NotExamined("OWNER_DATABASE_URL is not set")
    holes = inspect_isolation()
    if holes:
        raise Trouble(
            f"{len(holes)} holes, the first: {holes[0]}", "run `manage.py check_isolation` for all of them"
        )
    return "whole"


def examine_migrations() -> str:
    if not probe.database.ask().result(timeout=SECONDS):
        raise Trouble("some are not applied", "run `manage.py migrate`")
    return "all applied"


def examine_redis() -> str:
    return f"answers in {ping() * 1000:.1f} ms"


def examine_stripe() -> str:
    if not stripe_client.is_configured():
        raise NotExamined("STRIPE_SECRET_KEY is not set: nobody can pay")
    is_live = "_live_" in settings.STRIPE_SECRET_KEY
    if is_live != (settings.DEPLOYMENT_ENV == "production"):
        mode = "live" if is_live else "test"
        raise Trouble(
            f"STRIPE_SECRET_KEY is of {mode} mode in {settings.DEPLOYMENT_ENV}",
            "live keys belong in production, and test keys anywhere else",
        )
    stripe_client.call("doctor", lambda client: client.v1.products.list({"limit": 1}))
    if not settings.STRIPE_WEBHOOK_SECRETS:
        raise Trouble("STRIPE_WEBHOOK_SECRET is not set", "set the signing secret of /webhooks/stripe")
    return f"takes the key, {'live' if is_live else 'test'} mode"


def examine_mail() -> str:
    backend: str = settings.EMAIL_BACKEND
    if (
        settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">") == "localhost"
        and not settings.IS_DEVELOPMENT
    ):
        raise Trouble(
            "mails come from localhost", "set DEFAULT_FROM_EMAIL to an address of a domain of yours"
        )
    if "sendgrid" in backend:
        return _ask_sendgrid()
    with mail.get_connection():
        return f"{backend} can be used"


def _ask_sendgrid() -> str:
    request = urllib.request.Request(  # noqa: S310 - the address is the operator's
        f"{settings.ANYMAIL['SENDGRID_API_URL'].rstrip('/')}/scopes",
        headers={"Authorization": f"Bearer {settings.ANYMAIL['SENDGRID_API_KEY']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - likewise
            scopes = answer.read().decode()
    except ValueError as error:
        # Its message holds the key.
        raise Trouble("SENDGRID_API_KEY is none: it has a line break or the like", "set it anew") from error
    except urllib.error.HTTPError as error:
        raise Trouble(
            f"SendGrid answers {error.code}", "make a key at SendGrid, and set SENDGRID_API_KEY"
        ) from error
    if "mail.send" not in scopes:
        raise Trouble("SENDGRID_API_KEY may not send mail", "give the key the right mail.send at SendGrid")
    return "SendGrid takes the key"


def examine_signing_keys() -> str:
    active = key_directory().ring().active
    if active is None:
        raise Trouble("none is active", "run `manage.py jwt_keys list`, then `jwt_keys activate`")
    age = clock.now() - clock.from_timestamp(active.created_at)
    if age > timedelta(days=KEY_DAYS):
        raise Trouble(
            f"the active one is {age.days} days old",
            "run `manage.py jwt_keys generate`, and activate it once every reader knows it",
        )
    return f"the active one is {age.days} days old"


def examine_clock() -> str:
    with connections["default"].cursor() as cursor:
        before = time.time()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        theirs, after = float(cursor.fetchone()[0]), time.time()
    difference = theirs - (before + after) / 2
    if abs(difference) > CLOCK_SECONDS:
        raise Trouble(f"{difference:+.1f} s in PostgreSQL", "synchronize the clocks of both machines (NTP)")
    return f"{difference:+.1f} s in PostgreSQL"


def examine_worker() -> str:
    if "worker" not in settings.DATABASES:
        raise NotExamined("WORKER_DATABASE_URL is not set")
    with connections["worker"].cursor() as cursor:
        cursor.execute(HEARTBEAT)
        silence = cursor.fetchone()[0]
        cursor.execute(WAITING)
        due, oldest = cursor.fetchone()
    if silence is None or silence > HEARTBEAT_SECONDS:
        said = "none was ever there" if silence is None else f"the last sign of life is {silence:.0f} s old"
        raise Trouble(said, "start `manage.py worker`")
    if due and oldest > QUEUE_SECONDS:
        raise Trouble(
            f"{due} jobs are due, the oldest for {oldest:.0f} s",
            "look at the worker's log, or start more workers",
        )
    return f"alive, {due} jobs due"


EXAMINATIONS: dict[str, tuple[Callable[[], str], str]] = {
    "settings": (examine_settings, "run `manage.py check --deploy`"),
    "databases": (examine_databases, "look at the URLs, and at whether PostgreSQL runs"),
    "fence": (examine_fence, "run `manage.py check_isolation`"),
    "migrations": (examine_migrations, "look at PostgreSQL first"),
    "redis": (
        examine_redis,
        "look at REDIS_URL, and at whether Redis runs; requests go on meanwhile, slower",
    ),
    "stripe": (examine_stripe, "look at STRIPE_SECRET_KEY, and at Stripe's status page"),
    "mail": (examine_mail, "look at the mail settings; mails wait in the queue meanwhile"),
    "signing keys": (examine_signing_keys, "run `manage.py jwt_keys generate`"),
    "clock": (examine_clock, "look at PostgreSQL first"),
    "worker": (examine_worker, "look at WORKER_DATABASE_URL, and at whether PostgreSQL runs"),
}
