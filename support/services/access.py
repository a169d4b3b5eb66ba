"""Opening an organization, and asking for something to be done in it: both through functions that log it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
import psycopg
from django.db import DatabaseError, connections

from accounts.links import make_link
from saas.kit.errors import DomainError, NotFound
from tenancy.staff import SUPPORT_ALIAS
from tenancy.support_audit import SupportAction

OPEN_ACCESS = "SELECT tenancy.open_support_access(%s, %s)"
BEGIN_LOOK = "SELECT tenancy.begin_look(%s, %s, %s)"
DEFER_ACTION = "SELECT tenancy.defer_support_action(%s, %s, %s::jsonb, %s)"


class SupportSwitchedOff(DomainError):
    code = "support_switched_off"
    status = 409
    title = "Support access is switched off"
    detail = "The organization has switched support access off. Only its owners can allow it again."


class AccessNotOpen(DomainError):
    code = "access_not_open"
    status = 403
    title = "Access is not open"
    detail = "Access to this organization is not open, or no longer. Open it with a reason."


class ReasonMissing(DomainError):
    code = "reason_missing"
    status = 422
    title = "A reason is needed"
    detail = (
        "Say why, in 500 characters at most: the reason is kept, and the organization's owners can read it."
    )


REFUSALS: dict[type[psycopg.Error], type[DomainError]] = {
    psycopg.errors.NoDataFound: NotFound,
    psycopg.errors.ObjectNotInPrerequisiteState: SupportSwitchedOff,
    psycopg.errors.CheckViolation: ReasonMissing,
    psycopg.errors.InsufficientPrivilege: AccessNotOpen,
}


def open_access(*, organization_id: UUID, reason: str) -> None:
    """From the next transaction on, for an hour. Raises NotFound, SupportSwitchedOff or ReasonMissing."""
    _call(OPEN_ACCESS, organization_id, reason)


def defer_action(
    *, organization_id: UUID, action: SupportAction, arguments: Mapping[str, str], reason: str
) -> None:
    """Have the worker do something in an opened organization. Raises AccessNotOpen or ReasonMissing."""
    _call(DEFER_ACTION, organization_id, action.value, orjson.dumps(arguments).decode(), reason)


def begin_look(*, organization_id: UUID, user_id: UUID, reason: str) -> str:
    """Where the staff member's browser goes on, as the user, once this transaction is committed.

    Raises AccessNotOpen, ReasonMissing, or NotFound for whoever is not an active user of the organization.
    """
    look_id = _call(BEGIN_LOOK, organization_id, user_id, reason)
    return make_link("look", organization_id=organization_id, subject_id=look_id)


def _call(statement: str, *parameters: UUID | str) -> Any:
    try:
        with connections[SUPPORT_ALIAS].cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchone()[0]
    except DatabaseError as error:
        for kind, refusal in REFUSALS.items():
            if isinstance(error.__cause__, kind):
                raise refusal from error
        raise
