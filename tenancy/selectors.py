from collections.abc import Iterator
from uuid import UUID

from django.db import connections
from django.db.models import Q, QuerySet, Subquery

from tenancy.support_audit import SupportAudit

PAGE = 1000
ORGANIZATION_IDS = "SELECT * FROM tenancy.organization_ids(%s, %s)"


def organization_ids() -> Iterator[UUID]:
    """Every organization's id, read as saas_worker; what is in it shows only in its own context."""
    after = UUID(int=0)
    while True:
        with connections["worker"].cursor() as cursor:
            cursor.execute(ORGANIZATION_IDS, [after, PAGE])
            page = [row[0] for row in cursor.fetchall()]
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1]


def support_accesses(*, before: UUID | None = None) -> QuerySet[SupportAudit]:
    """What support staff opened and did in the organization in force, the latest first; or what came before a row."""
    rows = SupportAudit.objects.order_by("-organization_id", "-at", "-id")
    if before is None:
        return rows
    at = SupportAudit.objects.filter(id=before).values("at")
    return rows.filter(Q(at__lt=Subquery(at)) | Q(at=Subquery(at), id__lt=before))
