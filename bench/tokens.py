"""Tokens signed with the platform's own key, without Django; tests hold them against accounts.tokens."""

import json
import time
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bench.people import Person

AUDIENCE = "saas-api"
ALGORITHM = "RS256"
# A run may take longer than the quarter of an hour that the platform's own access tokens live.
LIFETIME = 24 * 3600


@cache
def active_key(directory: Path) -> tuple[str, Any]:
    """The id and the private key that sign."""
    records = json.loads((directory / "keys.json").read_text())
    kid = next(record["kid"] for record in records if record["state"] == "active")
    return kid, load_pem_private_key((directory / f"{kid}.pem").read_bytes(), None)


class Signer:
    def __init__(self, *, keys: Path, issuer: str) -> None:
        self._kid, self._key = active_key(keys)
        self._issuer = issuer

    def access(self, person: Person, session: UUID) -> str:
        return self._sign(person, session, kind="access", typ="at+jwt")

    def refresh(self, person: Person, session: UUID) -> str:
        return self._sign(person, session, kind="refresh", typ="rt+jwt", gen=1)

    def _sign(self, person: Person, session: UUID, *, kind: str, typ: str, **more: int) -> str:
        now = int(time.time())
        claims = {
            "token_type": kind,
            "exp": now + LIFETIME,
            "iat": now,
            "nbf": now,
            "jti": str(uuid4()),
            "sub": str(person.id),
            "user_id": str(person.id),
            "org_id": str(person.organization.id),
            "sid": str(session),
            "aud": AUDIENCE,
            "iss": self._issuer,
            **more,
        }
        return jwt.encode(claims, self._key, ALGORITHM, headers={"kid": self._kid, "typ": typ})
