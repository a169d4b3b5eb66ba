"""Encrypting what lies in rows and links for a while, under a key of its own for each purpose."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


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


def _fernet(purpose: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode())
    return Fernet(base64.urlsafe_b64encode(derived.derive(settings.SECRET_KEY.encode())))
