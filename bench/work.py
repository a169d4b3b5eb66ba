"""What `limit` and `fastapi` do for GET /users/me: the least that the platform's promises ask of a request.

One verified token, one call of the platform's own gate script, one row read in the signed context.
"""

import hmac
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from saas.kit.context_keys import parse_context_keys
from saas.kit.gate import GATE
from saas.kit.rate_limits import AUTHENTICATED, window_args

GATE_SHA, GATE_TEXT = GATE.sha, GATE.text
GATE_ARGS = window_args(AUTHENTICATED)
CONTEXT_SECONDS = 60
CONTEXT_KEY = parse_context_keys([os.environ["TENANCY_CONTEXT_KEYS"]])[0]
AUDIENCE = os.environ.get("JWT_AUDIENCE", "saas-api")
ISSUER = os.environ.get("JWT_ISSUER", os.environ["PUBLIC_URL"])
PROFILE = """
    SELECT u.id, u.email, u.email_verified_at IS NOT NULL, u.name, u.role, u.locale, u.timezone,
        u.created_at, u.last_login_at, o.id, o.slug, o.name, o.plan, o.access
    FROM accounts_user u JOIN tenancy_organization o ON o.id = u.organization_id WHERE u.id = {}
"""
FIELDS = (
    *("id", "email", "email_verified", "name", "role", "locale", "timezone", "created_at", "last_login_at"),
)
ORGANIZATION_FIELDS = ("id", "slug", "name", "plan", "access")


class Bearer(NamedTuple):
    user_id: str
    organization_id: str
    session_id: str
    token_id: str


def _public_keys(directory: Path) -> dict[str, Any]:
    kids = [record["kid"] for record in json.loads((directory / "keys.json").read_text())]
    return {
        kid: load_pem_private_key((directory / f"{kid}.pem").read_bytes(), None).public_key() for kid in kids
    }


KEYS = _public_keys(Path(os.environ["JWT_KEYS_DIR"]))


def verify(authorization: str) -> Bearer:
    """Raises jwt.InvalidTokenError."""
    token = authorization.removeprefix("Bearer ")
    key = KEYS[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)
    return Bearer(claims["user_id"], claims["org_id"], claims["sid"], claims["jti"])


def gate_keys(bearer: Bearer) -> list[str]:
    tag = f"{{{bearer.organization_id}}}:{bearer.user_id}"
    return [
        f"{tag}:rate:{AUTHENTICATED.name}",
        f"{tag}:facts:{bearer.session_id}",
        f"{{{bearer.organization_id}}}:changed",
        f"{tag}:revoked:sid:{bearer.session_id}",
        f"{tag}:revoked:jti:{bearer.token_id}",
    ]


def is_admitted(reply: Sequence[Any]) -> bool:
    """Within the limit and not revoked."""
    return bool(reply[0]) and not reply[3]


def context(bearer: Bearer) -> tuple[str, str]:
    """The organization, and the proof that makes PostgreSQL believe it."""
    organization = str(UUID(bearer.organization_id))
    expires = int(time.time()) + CONTEXT_SECONDS
    signed = hmac.digest(CONTEXT_KEY.secret, f"{organization}:{expires}".encode(), "sha256").hex()
    return organization, f"{expires}:{CONTEXT_KEY.id}:{signed}"


def profile(row: Sequence[Any]) -> dict[str, Any]:
    count = len(FIELDS)
    return {
        **dict(zip(FIELDS, row[:count], strict=True)),
        "org": dict(zip(ORGANIZATION_FIELDS, row[count:], strict=True)),
    }
