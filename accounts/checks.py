from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from accounts.keys import key_ring


def check_signing_keys(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Outside development keys must be given; there `make run` makes them."""
    if settings.IS_DEVELOPMENT:
        return []
    try:
        ring = key_ring()
    except (ImproperlyConfigured, OSError, ValueError) as error:
        return [_error(str(error))]
    return [] if ring.active else [_error("no signing key is active")]


def _error(message: str) -> Error:
    return Error(
        message,
        hint="Make a key with `manage.py jwt_keys generate` and give its directory in JWT_KEYS_DIR.",
        id="accounts.E001",
    )
