"""All rows of one organization as JSON, read as saas_app in its context: the fence decides what is in it."""

import json
import os
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

from django.apps import apps
from django.db import connection, models, transaction

from saas.kit import clock
from saas.kit.progress import Progress
from saas.operations.errors import OperationRefused
from saas.operations.programs import PRIVATE
from tenancy.context import org_context
from tenancy.fence import Fence
from tenancy.models import Organization

CONTEXT_SECONDS = 3600
ROWS_A_QUERY = 1000
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


def fenced_models() -> list[type[models.Model]]:
    """Every model that has rows of organizations, the organization's own first."""
    found = [
        model
        for model in apps.get_models()
        if any(isinstance(constraint, Fence) for constraint in model._meta.constraints)
    ]
    return sorted(found, key=lambda model: (model is not Organization, model._meta.db_table))


def export_organization(organization_id: UUID, path: Path) -> dict[str, int]:
    """Write the file whole or not at all; returns the number of rows by table. Raises OperationRefused."""
    if path.exists():
        raise OperationRefused(f"{path} is there already")
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "w") as file, transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(SNAPSHOT)
            with org_context(organization_id, seconds=CONTEXT_SECONDS):
                if not Organization.objects.exists():
                    raise OperationRefused(f"there is no organization {organization_id}")
                counts = _write(file, organization_id)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return counts


def _write(file: TextIO, organization_id: UUID) -> dict[str, int]:
    head = {"organization_id": str(organization_id), "exported_at": clock.now().isoformat()}
    file.write(json.dumps(head, indent=1).removesuffix("\n}") + ',\n "tables": {')
    counts: dict[str, int] = {}
    chosen = fenced_models()
    with Progress("tables", len(chosen)) as progress:
        for model in progress.over(chosen):
            table = model._meta.db_table
            file.write(f"{',' if counts else ''}\n  {json.dumps(table)}: [")
            counts[table] = 0
            for row in _rows(model):
                file.write(f"{',' if counts[table] else ''}\n   {json.dumps(row, default=_plain)}")
                counts[table] += 1
            file.write("]")
    file.write("\n }\n}\n")
    return counts


def _rows(model: type[models.Model]) -> Iterator[dict[str, Any]]:
    """In the order of their ids, a page at a time, without what the model calls a secret."""
    secret = getattr(model, "secret_fields", ())
    columns = [field.attname for field in model._meta.concrete_fields if field.name not in secret]
    rows = model._default_manager.order_by("id").values(*columns)
    page = list(rows[:ROWS_A_QUERY])
    while page:
        yield from page
        page = list(rows.filter(id__gt=page[-1]["id"])[:ROWS_A_QUERY])


def _plain(value: Any) -> str:
    match value:
        case datetime() | date():
            return value.isoformat()
        case UUID() | Decimal():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no form in the export")
