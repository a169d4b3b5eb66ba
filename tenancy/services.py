from typing import Any
from uuid import UUID

from django.db import transaction

from saas.kit import gate
from saas.kit.redis import RedisUnavailable
from tenancy.context import current_organization_id
from tenancy.models import Organization


def rename_organization(*, name: str) -> None:
    """The one in force. Its slug stays, since links may hold it."""
    change_organization(name=name)


@transaction.atomic
def change_organization(**columns: Any) -> None:
    """Write columns of the one in force, and let its people's next requests read it from PostgreSQL."""
    Organization.objects.update(**columns)
    organization_id = current_organization_id()
    transaction.on_commit(lambda: _forget(organization_id))


def _forget(organization_id: UUID) -> None:
    try:
        gate.forget_organization(organization_id)
    except RedisUnavailable:
        pass  # saas.kit.redis has counted it; what Redis still says of the organization runs out within 30 s.
