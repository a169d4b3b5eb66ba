"""Cursors of a list in the order (created_at, id); opaque to clients."""

import base64
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db.models import Model, Q, QuerySet
from rest_framework import serializers
from rest_framework.response import Response

from saas.kit.errors import FieldError, ValidationFailed
from saas.kit.serializers import represent

M = TypeVar("M", bound=Model)


def page(rows: QuerySet[M], *, limit: int, cursor: str | None) -> tuple[list[M], str | None]:
    """The rows after the cursor, and the next page's cursor if there is one. Raises ValidationFailed."""
    if cursor:
        created_at, row_id = _decode(cursor)
        rows = rows.filter(Q(created_at__gt=created_at) | Q(created_at=created_at, id__gt=row_id))
    found = list(rows[: limit + 1])
    return found[:limit], _encode(found[limit - 1]) if len(found) > limit else None


def page_response(
    answer: type[serializers.Serializer[Any]], rows: QuerySet[M], *, limit: int, cursor: str | None
) -> Response:
    """`page` as the API answers it, each row as the serializer says."""
    found, next_cursor = page(rows, limit=limit, cursor=cursor)
    data = [represent(answer, row) for row in found]
    return Response({"data": data, "next_cursor": next_cursor, "has_more": next_cursor is not None})


def _encode(row: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([row.created_at, row.id])).decode()


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        text, row_id = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        # A time without a zone has no offset, and 24 hours are no offset of ours either.
        created_at = datetime.fromisoformat(text)
        if created_at.utcoffset() != timedelta(0):
            raise ValueError("not a moment in UTC")
        return created_at, UUID(row_id)
    except (ValueError, TypeError, AttributeError):
        error = FieldError(
            ("cursor",), "invalid", "Give the `next_cursor` of the page before.", in_query=True
        )
        raise ValidationFailed([error]) from None
