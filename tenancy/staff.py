"""The staff member in force: signed like an organization's context, and living just as long."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from django.db import connections

from tenancy.context import expiry, set_context, sign

SUPPORT_ALIAS = "support"

_is_in_force: ContextVar[bool] = ContextVar("staff_in_force", default=False)


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of the support staff whose session PostgreSQL has confirmed."""

    id: UUID
    email: str


def is_staff_in_force() -> bool:
    return _is_in_force.get()


def sign_staff(staff: Staff, *, expires_at: int) -> str:
    # With a word in front, so that no organization's proof is ever a staff member's.
    return sign(f"staff:{_written(staff)}", expires_at=expires_at)


def _written(staff: Staff) -> str:
    return f"{staff.id} {staff.email}"


def set_staff(staff: Staff) -> None:
    """Name the staff member to PostgreSQL, for the open transaction on the support alias."""
    expires_at = expiry(using=SUPPORT_ALIAS)
    set_context(SUPPORT_ALIAS, "staff", _written(staff), sign_staff(staff, expires_at=expires_at))


@contextmanager
def staff_in_force(staff: Staff) -> Iterator[None]:
    """Inside a transaction of the support alias: every query of the ORM goes there, in this person's name."""
    if not connections[SUPPORT_ALIAS].in_atomic_block:
        raise RuntimeError("a staff member is in force for one transaction of the support alias")
    set_staff(staff)
    token = _is_in_force.set(True)
    try:
        yield
    finally:
        _is_in_force.reset(token)
