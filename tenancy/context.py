"""The organization in force: signed, and living exactly as long as one database transaction."""

import hmac
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, ParamSpec, Self, TypeVar, cast
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, OperationalError, connections, transaction
from prometheus_client import Counter

from saas.kit.postgresql.base import DatabaseWrapper
from saas.kit.postgresql.trips import First
from saas.kit.statements import OneRow

logger = logging.getLogger(__name__)

# Of the kind `org` or `staff`; raises PLANTED_STATE (tenancy/migrations/0009_set_context.py).
SET_CONTEXT = "SELECT tenancy.set_context(%s, %s, %s)"
PLANTED_STATE = "TN001"

MISSING = Counter(
    "saas_context_missing", "Tenant data asked for while no organization was in force; nothing was shown."
)
PLANTED = Counter(
    "saas_statements_planted", "Connections given up because SQL had prepared a statement on them."
)

# A request that may only read: PostgreSQL refuses its writes.
_reads_only: ContextVar[bool] = ContextVar("reads_only", default=False)
_current: ContextVar[UUID | None] = ContextVar("current_organization", default=None)

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class NoOrganizationContext(RuntimeError):
    """Tenant data was asked for outside org_context(...)."""


class OrganizationContextConflict(RuntimeError):
    """Another organization's context is open; one transaction serves one organization."""


class PlantedStatement(OperationalError):
    """Somebody's SQL prepared a statement on this connection, which is closed: nothing ran on it."""


def current_organization_id() -> UUID:
    """The organization in force. Raises NoOrganizationContext outside org_context()."""
    organization_id = _current.get()
    if organization_id is None:
        MISSING.inc()
        raise NoOrganizationContext(
            "no organization is in force: wrap the call in org_context(organization_id)"
        )
    return organization_id


def organization_in_force() -> UUID | None:
    """The organization in force, or None: then a new row has no owner, and PostgreSQL refuses it."""
    return _current.get()


def sign_context(organization_id: UUID, *, expires_at: int) -> str:
    return sign(str(organization_id), expires_at=expires_at)


def sign(subject: str, *, expires_at: int) -> str:
    """`expires:key:signature`: HMAC-SHA256 (RFC 2104) over subject and expiry (Unix seconds)."""
    key = settings.TENANCY_CONTEXT_KEYS[0]
    signature = hmac.digest(key.secret, f"{subject}:{expires_at}".encode(), "sha256").hex()
    return f"{expires_at}:{key.id}:{signature}"


def expiry(seconds: int | None = None, *, using: str) -> int:
    """By PostgreSQL's clock, which decides: ours may be wrong, or step."""
    now = cast(DatabaseWrapper, connections[using]).server_time()
    return int(now.timestamp()) + (seconds or settings.TENANCY_CONTEXT_SECONDS)


@contextmanager
def org_context(
    organization_id: UUID, *, seconds: int | None = None, using: str = DEFAULT_DB_ALIAS
) -> Iterator[None]:
    """Open a transaction in which PostgreSQL shows the rows of one organization and of no other.

    Nested for the same organization it is a savepoint. Statements later than `seconds`
    (default TENANCY_CONTEXT_SECONDS) after its start are refused by the database. Raises
    OrganizationContextConflict inside another organization's context.
    """
    outer = _current.get()
    if outer is not None and outer != organization_id:
        raise OrganizationContextConflict(f"{outer} is in force, refused to enter {organization_id}")
    connection = connections[using]
    within_transaction = connection.in_atomic_block
    with transaction.atomic(using=using):
        if outer is None:
            _set(using, *_signed(organization_id, seconds, using=using))
            if _reads_only.get() and not within_transaction:
                _read_only(using)
        token = _current.set(organization_id)
        try:
            yield
        finally:
            _current.reset(token)
        # A value set inside a savepoint survives its RELEASE; a rollback to it takes the value back by itself.
        if outer is None and within_transaction and not connection.needs_rollback:
            _set(using, "", "")


def find_in_context(organization_id: UUID, find: OneRow[Any, R], **values: Any) -> R | None:
    """`find(**values)` in the organization, whose context is opened for it where it is not in force: one round trip."""
    if _current.get() == organization_id:
        return find(**values)
    if _current.get() is not None or connections[DEFAULT_DB_ALIAS].in_atomic_block:
        with org_context(organization_id):
            return find(**values)
    first = First(SET_CONTEXT, ("org", *_signed(organization_id, using=DEFAULT_DB_ALIAS)))
    try:
        return find.after(first, **values)
    except DatabaseError as error:
        _refuse_planted(DEFAULT_DB_ALIAS, error)
        raise


class ReadingAllowedAlone:
    """Inside of it, `from_now_on()` makes PostgreSQL refuse every write until the end: in what is open, and what follows."""

    def __enter__(self) -> Self:
        self._token = _reads_only.set(False)
        return self

    def from_now_on(self) -> None:
        _reads_only.set(True)
        if connections[DEFAULT_DB_ALIAS].in_atomic_block:
            _read_only(DEFAULT_DB_ALIAS)

    def __exit__(self, *failure: object) -> None:
        _reads_only.reset(self._token)


def stream_in_context(organization_id: UUID, chunks: Callable[[], Iterable[T]]) -> Iterator[T]:
    """Yield from `chunks()` in a context of its own: a response's body is produced after the view's transaction."""
    with org_context(organization_id):
        yield from chunks()


def _signed(organization_id: UUID, seconds: int | None = None, *, using: str) -> tuple[str, str]:
    """What SET_CONTEXT sets."""
    expires_at = expiry(seconds, using=using)
    return str(organization_id), sign_context(organization_id, expires_at=expires_at)


def _read_only(using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")


def _set(using: str, organization_id: str, proof: str) -> None:
    set_context(using, "org", organization_id, proof)


def set_context(using: str, kind: str, subject: str, proof: str) -> None:
    """Name whom the open transaction is for. Raises PlantedStatement."""
    try:
        cast(DatabaseWrapper, connections[using]).execute_first(SET_CONTEXT, (kind, subject, proof))
    except DatabaseError as error:
        _refuse_planted(using, error)
        raise


def _refuse_planted(using: str, error: DatabaseError) -> None:
    """Raises PlantedStatement if SET_CONTEXT says so."""
    planted = error.__cause__
    if not isinstance(planted, psycopg.Error) or planted.sqlstate != PLANTED_STATE:
        return
    _end(connections[using], planted.diag.message_detail)
    PLANTED.inc()
    logger.error("a statement was prepared by SQL, as only injected SQL does; its connection is closed")
    raise PlantedStatement("a statement was planted on this connection") from error


def _end(connection: Any, pid: str | None) -> None:
    """The server's process too: PgBouncer would give it to others."""
    # Its own process says goodbye in place of an answer.
    with suppress(psycopg.Error):
        connection.connection.rollback()
        connection.connection.execute("SELECT pg_catalog.pg_terminate_backend(%s)", [pid], prepare=False)
    connection.close()
