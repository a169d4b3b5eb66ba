"""The RSA keys that sign tokens: PEM files and a manifest in JWT_KEYS_DIR, reread when the manifest changes.

A key is `published` (in the JWKS, so that every reader knows it before it signs), then `active` (signs), then
`retiring` (verifies what it signed), and gone when retired. Key ids are RFC 7638 thumbprints.
"""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from saas.kit import clock

MANIFEST = "keys.json"
# 128 bits of strength, by NIST SP 800-57. A key of 2048 bits, which older releases made, is read all the same.
KEY_BITS = 3072

KeyState = Literal["published", "active", "retiring"]


class KeyRefused(Exception):
    """The change would log people out or leave nothing to sign with; the message says which."""


@dataclass
class KeyRecord:
    kid: str
    state: KeyState
    created_at: float
    deactivated_at: float | None = None


@dataclass(eq=False)
class KeyRing:
    records: dict[str, KeyRecord] = field(default_factory=dict)
    private: dict[str, RSAPrivateKey] = field(default_factory=dict)
    public: dict[str, RSAPublicKey] = field(default_factory=dict)

    @property
    def active(self) -> KeyRecord | None:
        return next((record for record in self.records.values() if record.state == "active"), None)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """RFC 7517 key set of the public keys."""
        return {
            "keys": [
                {**public_jwk(key), "kid": kid, "use": "sig", "alg": "RS256"}
                for kid, key in self.public.items()
            ]
        }


class KeyDirectory:
    """Reads a key directory, and again when its manifest has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._manifest = str(path / MANIFEST)
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._ring = KeyRing()

    def ring(self) -> KeyRing:
        """The keys as they are now. Raises ImproperlyConfigured where there are none."""
        try:
            status = os.stat(self._manifest)
        except FileNotFoundError:
            raise ImproperlyConfigured(
                f"no signing keys in JWT_KEYS_DIR={self.path}: run `manage.py jwt_keys generate`"
            ) from None
        seen = (status.st_mtime_ns, status.st_ino)
        if seen != self._seen:
            with self._lock:
                self._ring = self._load()
                self._seen = seen
        return self._ring

    def _load(self) -> KeyRing:
        ring = KeyRing()
        for entry in json.loads((self.path / MANIFEST).read_text()):
            record = KeyRecord(**entry)
            private = serialization.load_pem_private_key((self.path / f"{record.kid}.pem").read_bytes(), None)
            if not isinstance(private, RSAPrivateKey):
                raise ImproperlyConfigured(f"{record.kid}.pem in JWT_KEYS_DIR is not an RSA key")
            ring.records[record.kid] = record
            ring.private[record.kid] = private
            ring.public[record.kid] = private.public_key()
        return ring

    def generate(self) -> KeyRecord:
        """Make a key and publish it; the very first one is active at once."""
        records = self._records()
        private = _private_key()
        kid = thumbprint(private.public_key())
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self.path / f"{kid}.pem", pem)
        record = KeyRecord(kid, "published" if records else "active", clock.now().timestamp())
        self._save([*records, record])
        return record

    def activate(self, kid: str) -> None:
        records = self._records()
        chosen = _find(records, kid)
        if chosen.state == "active":
            return
        for record in records:
            if record.state == "active":
                record.state, record.deactivated_at = "retiring", clock.now().timestamp()
        chosen.state, chosen.deactivated_at = "active", None
        self._save(records)

    def retire(self, kid: str, *, force: bool = False) -> None:
        """Remove a key. Raises KeyRefused while tokens that it signed can still be valid, unless forced."""
        records = self._records()
        chosen = _find(records, kid)
        if chosen.state == "active":
            raise KeyRefused(f"{kid} is the active key: activate another one first")
        lifetime: timedelta = settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"]
        safe_at = (chosen.deactivated_at or 0) + lifetime.total_seconds()
        if chosen.deactivated_at and clock.now().timestamp() < safe_at and not force:
            date = clock.from_timestamp(safe_at).date()
            raise KeyRefused(
                f"{kid} has signed refresh tokens that are valid until {date}; --force logs them out"
            )
        self._save([record for record in records if record is not chosen])
        (self.path / f"{kid}.pem").unlink(missing_ok=True)

    def _records(self) -> list[KeyRecord]:
        if not (self.path / MANIFEST).exists():
            return []
        return list(self.ring().records.values())

    def _save(self, records: Iterable[KeyRecord]) -> None:
        _write(self.path / MANIFEST, json.dumps([asdict(record) for record in records], indent=1).encode())


def _private_key() -> RSAPrivateKey:
    while True:
        key = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        # A command line takes an id with a leading dash for an option, and every 64th would have one.
        if not thumbprint(key.public_key()).startswith("-"):
            return key


def thumbprint(key: RSAPublicKey) -> str:
    """RFC 7638 thumbprint."""
    canonical = json.dumps(public_jwk(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def public_jwk(key: RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {"kty": "RSA", "e": _integer(numbers.e), "n": _integer(numbers.n)}


def _integer(value: int) -> str:
    return _base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _find(records: Iterable[KeyRecord], kid: str) -> KeyRecord:
    for record in records:
        if record.kid == kid:
            return record
    raise KeyRefused(f"no key {kid!r} in JWT_KEYS_DIR")


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and readable by nobody else."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)


_directories: dict[Path, KeyDirectory] = {}


def key_directory() -> KeyDirectory:
    path: Path = settings.JWT_KEYS_DIR
    if path not in _directories:
        _directories[path] = KeyDirectory(path)
    return _directories[path]


def key_ring() -> KeyRing:
    return key_directory().ring()


def jwks() -> dict[str, Any]:
    return key_ring().jwks()
