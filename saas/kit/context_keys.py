"""The keys that sign an organization's context; the database keeps the same keys in tenancy.context_key."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured

HMAC_BLOCK_BYTES = 64


class ContextKey(NamedTuple):
    id: str
    secret: bytes

    @property
    def inner_pad(self) -> bytes:
        return _pad(self.secret, 0x36)

    @property
    def outer_pad(self) -> bytes:
        return _pad(self.secret, 0x5C)


def parse_context_keys(values: Sequence[str]) -> list[ContextKey]:
    """One or two keys of 64 hexadecimal digits; the first signs, both are accepted while a rotation lasts."""
    if not 1 <= len(values) <= 2:
        raise ImproperlyConfigured(
            "TENANCY_CONTEXT_KEYS: expected one key, or two while rotating, each of 64 hexadecimal digits "
            "(make one with `openssl rand -hex 32`)"
        )
    return [_parse(value) for value in values]


def _parse(value: str) -> ContextKey:
    try:
        secret = bytes.fromhex(value)
    except ValueError:
        secret = b""
    if len(secret) != 32:
        raise ImproperlyConfigured("TENANCY_CONTEXT_KEYS: a key is not 64 hexadecimal digits")
    return ContextKey(hashlib.sha256(b"context-key-id:" + secret).hexdigest()[:8], secret)


def _pad(secret: bytes, filler: int) -> bytes:
    """The padded key of RFC 2104, so that PostgreSQL's core sha256() is all that HMAC needs."""
    return bytes(byte ^ filler for byte in secret.ljust(HMAC_BLOCK_BYTES, b"\0"))
