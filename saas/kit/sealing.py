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


class NotSealedHere(ValueError):
    """It was not sealed with this purpose and this SECRET_KEY."""


def seal(purpose: str, content: bytes) -> str:
    """Fernet (AES-128-CBC, HMAC-SHA256) under a key derived from SECRET_KEY by HKDF (RFC 5869); URL-safe."""
    return _fernet(purpose).encrypt(content).decode()


def unseal(purpose: str, sealed: str) -> bytes:
    """Raises NotSealedHere."""
    try:
        return _fernet(purpose).decrypt(sealed)
    except InvalidToken as error:
        raise NotSealedHere(purpose) from error


def seal_bytes(purpose: str, content: bytes, *, place: str) -> bytes:
    """AES-256-GCM-SIV (RFC 8452), a fifth of Fernet's time; what is sealed for one `place` counts at no other."""
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
