from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.utils.translation import gettext_lazy
from rest_framework import renderers

from saas.kit.renderers import JSONRenderer
from tenancy.models import Role


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        {"text": 'ä"\\\n\u0007😀', "none": None, "yes": True, "number": 2**53, "half": 0.5},
        {"id": UUID(int=7), "role": Role.OWNER, "lazy": gettext_lazy("Log in")},
        {"at": datetime(2026, 11, 24, 16, 43, 13, 661291, UTC), "day": datetime(2026, 11, 24, tzinfo=UTC)},
        {1: "a name that is a number", "price": Decimal("9.50"), "parts": ("a", ["b"])},
        "text alone",
    ],
)
def test_it_writes_what_rest_framework_writes(data):
    assert JSONRenderer().render(data) == renderers.JSONRenderer().render(data)
