"""An organization is removed: scheduled with notice, then at Stripe, in its own fence, and proven to be gone."""

import json
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from django.db import connections, transaction

from accounts.models import Session
from accounts.services.sessions import revoke_sessions
from billing.services.closing import close_billing
from saas.kit import clock
from saas.operations.errors import OperationRefused
from saas.operations.export import fenced_models
from tenancy.context import org_context
from tenancy.fence import Fence
from tenancy.mails import queue_mail_to_owners
from tenancy.models import SUPPORT_ORGANIZATION_ID, Organization, OrganizationDeletion

CONTEXT_SECONDS = 600
DUE = "SELECT organization_id FROM tenancy_organizationdeletion WHERE due_at <= now() ORDER BY due_at, organization_id"
ROWS = "SELECT place, number FROM tenancy.rows_of_organization(%s)"
# What runs just now belongs to a worker; the proof fails until it is done.
REMOVE_JOBS = "DELETE FROM procrastinate_jobs WHERE organization_id = %s AND status <> 'doing'"
FINISH = "SELECT tenancy.finish_organization_removal(%s, %s::jsonb)"
# The last rows to go, by tenancy.finish_organization_removal().
LAST = (Organization, OrganizationDeletion)


def schedule(organization_id: UUID, *, days: int) -> OrganizationDeletion:
    """Its owners are told by mail. Raises OperationRefused if there is none, or if it is scheduled already."""
    with org_context(organization_id):
        organization = _require(organization_id)
        if known := OrganizationDeletion.objects.first():
            raise OperationRefused(
                f"{organization} is deleted from {known.due_at:%Y-%m-%d %H:%M} UTC on already"
            )
        deletion = OrganizationDeletion.objects.create(due_at=clock.now() + timedelta(days=days))
        due_at = deletion.due_at.isoformat()
        queue_mail_to_owners("saas/deletion_scheduled", occasion=due_at, due_at=due_at)
    return deletion


def _require(organization_id: UUID) -> Organization:
    if organization_id == SUPPORT_ORGANIZATION_ID:
        raise OperationRefused("the support's own organization can't be deleted")
    organization = Organization.objects.select_for_update().first()
    if organization is None:
        raise OperationRefused(f"there is no organization {organization_id}")
    return organization


def cancel(organization_id: UUID) -> None:
    """Raises OperationRefused if nothing is scheduled, or if it is due: the removal may have begun."""
    with org_context(organization_id):
        deletion = OrganizationDeletion.objects.select_for_update().first()
        if deletion is None:
            raise OperationRefused(f"no deletion of {organization_id} is scheduled")
        if deletion.due_at <= clock.now():
            raise OperationRefused(
                f"the deletion of {organization_id} is due: it can't be taken back any more"
            )
        deletion.delete()
        queue_mail_to_owners("saas/deletion_cancelled", occasion=deletion.due_at.isoformat())


def make_due(organization_id: UUID) -> None:
    """Now, whether it was scheduled or not, and without a mail. Raises OperationRefused."""
    with org_context(organization_id):
        if OrganizationDeletion.objects.update(due_at=clock.now()):
            return
        _require(organization_id)
        OrganizationDeletion.objects.create(due_at=clock.now())


def due_organizations() -> list[UUID]:
    """Read as saas_worker."""
    with connections["worker"].cursor() as cursor:
        cursor.execute(DUE)
        return [row[0] for row in cursor.fetchall()]


def rows_of(organization_id: UUID) -> dict[str, int]:
    """How many rows there are of it, by table; the queue's too, the support's log not."""
    with connections["worker"].cursor() as cursor:
        cursor.execute(ROWS, [organization_id])
        return dict(cursor.fetchall())


def remove(organization_id: UUID) -> dict[str, int]:
    """Remove what is due; returns the number of rows by table. Begun again after a crash at any point, it goes on.

    Raises what billing.stripe_client raises, or a DatabaseError if rows remain: then the organization does too.
    """
    if organization_id not in due_organizations():
        raise OperationRefused(f"no deletion of {organization_id} is due")
    counts = rows_of(organization_id)
    with org_context(organization_id):
        revoke_sessions(Session.objects.filter(revoked_at=None), reason="organization_deleted")
    close_billing(organization_id)
    _remove_rows(organization_id)
    with transaction.atomic(using="worker"), connections["worker"].cursor() as cursor:
        cursor.execute(REMOVE_JOBS, [organization_id])
        cursor.execute(FINISH, [organization_id, json.dumps({"rows": counts})])
    return counts


def _remove_rows(organization_id: UUID) -> None:
    """As saas_app: the fence holds this to the organization, whatever the statements say."""
    with org_context(organization_id, seconds=CONTEXT_SECONDS), connections["default"].cursor() as cursor:
        # Keys between tenant tables are checked at the commit, so the order does not matter.
        for table in _tables():
            name = connections["default"].ops.quote_name(table)
            cursor.execute(f"DELETE FROM {name}")  # noqa: S608 - a model's table, quoted


def _tables() -> Iterator[str]:
    for model in fenced_models():
        is_kept = any(isinstance(each, Fence) and each.read_only for each in model._meta.constraints)
        if model not in LAST and not is_kept:
            yield model._meta.db_table
