"""Encrypting what lies in rows, links and Redis for a while, under a key of its own for each purpose."""

import base64
import os
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

NONCE_BYTES = 12
# Fernet's tokens hold no dot.
NOW = "2."


class NotSealedHere(ValueError):
    """It was not sealed with this purpose and this SECRET_KEY."""


def seal(purpose: str, content: bytes) -> str:
    """The same as seal_bytes, as text that is safe in URLs."""
    return NOW + base64.urlsafe_b64encode(seal_bytes(purpose, content, place="")).decode()


def unseal(purpose: str, sealed: str) -> bytes:
    """Raises NotSealedHere."""
    if not sealed.startswith(NOW):
        return _unseal_fernet(purpose, sealed)
    try:
        return unseal_bytes(purpose, base64.urlsafe_b64decode(sealed.removeprefix(NOW)), place="")
    except ValueError as error:
        raise NotSealedHere(purpose) from error


def _unseal_fernet(purpose: str, sealed: str) -> bytes:
    # As it was until now: AES-128-CBC with HMAC-SHA256.
    try:
        return _fernet(purpose).decrypt(sealed)
    except InvalidToken as error:
        raise NotSealedHere(purpose) from error


def seal_bytes(purpose: str, content: bytes, *, place: str) -> bytes:
    """AES-256-GCM-SIV (RFC 8452) under a key derived from SECRET_KEY by HKDF (RFC 5869).

    What is sealed for one `place` counts at no other.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(purpose, settings.SECRET_KEY).encrypt(nonce, content, place.encode())


def unseal_bytes(purpose: str, sealed: bytes, *, place: str) -> bytes:
    """Raises NotSealedHere."""
    nonce, encrypted = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return _cipher(purpose, settings.SECRET_KEY).decrypt(nonce, encrypted, place.encode())
    except (InvalidTag, ValueError) as error:
        raise NotSealedHere(purpose) from error


@cache
def _cipher(purpose: str, secret_key: str) -> AESGCMSIV:
    return AESGCMSIV(_derived(purpose, secret_key))


def _fernet(purpose: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(_derived(purpose, settings.SECRET_KEY)))


def _derived(purpose: str, secret_key: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(secret_key.encode())
