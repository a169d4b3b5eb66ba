"""Access and refresh tokens: simplejwt's, signed RS256 by `kid`, with their claims' types checked before it reads them."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any, cast
from uuid import UUID

import jwt
from django.conf import settings
from jwt.utils import base64url_decode, base64url_encode
from rest_framework_simplejwt import tokens as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken, TokenError

from accounts.keys import KeyRing, key_ring
from saas.kit import clock
from saas.kit.errors import DomainError, MalformedRequest
from saas.kit.gate import user_tag
from saas.kit.parsers import parse_json

ALGORITHM = "RS256"
UUID_CLAIMS = ("sub", "user_id", "org_id", "sid", "jti")
TIME_CLAIMS = ("exp", "iat", "nbf")
REQUIRED_CLAIMS = (*UUID_CLAIMS, *TIME_CLAIMS, "iss", "aud", "token_type")
# Times are checked here, after their types and by our clock: PyJWT takes "1" and 1.5 for times.
OPTIONS: Any = {
    "require": list(REQUIRED_CLAIMS),
    "strict_aud": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}
# A token of ours is far shorter; PyJWT would hash and decode megabytes before it refused them.
MAX_TOKEN_LENGTH = 4096
# Of 2 kB each.
REMEMBERED_TOKENS = 2048
COMPACT_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.(?:[A-Za-z0-9_-]{4})+(?:[A-Za-z0-9_-]{2,3})?")
# 9999-12-31: later times overflow datetime, which is where libraries answer 500.
MAX_TIME = 253_402_300_799


class InvalidToken(DomainError):
    code = "invalid_token"
    status = 401
    title = "Invalid token"
    detail = "The token is malformed, expired, revoked or not meant for this use."


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """Whose session a request names: a token's, or a page's cookie's."""

    user_id: UUID
    org_id: UUID
    sid: UUID

    @property
    def cache_tag(self) -> str:
        return user_tag(self.org_id, self.user_id)


@dataclass(frozen=True, slots=True)
class Claims(SessionClaims):
    """The verified claims of a token of ours."""

    jti: UUID
    iss: str
    aud: str
    iat: int
    exp: int
    generation: int | None = None


class KeyedBackend(TokenBackend):
    """Writes `kid` and `typ` into the header, and verifies with the key and type that the header must name."""

    def __init__(self, typ: str) -> None:
        super().__init__(
            ALGORITHM,
            audience=settings.JWT_AUDIENCE,
            issuer=settings.JWT_ISSUER,
            leeway=settings.SIMPLE_JWT["LEEWAY"],
        )
        self.typ = typ

    def encode(self, payload: dict[str, Any]) -> str:
        ring = key_ring()
        if ring.active is None:
            raise TokenBackendError("no signing key is active")
        kid = ring.active.kid
        claims = {**payload, "aud": self.audience, "iss": self.issuer}
        return jwt.encode(claims, ring.private[kid], ALGORITHM, headers={"kid": kid, "typ": self.typ})

    def decode(self, token: Any, verify: bool = True, *, verify_exp: bool = True) -> dict[str, Any]:
        """The claims of a token whose signature, header and claim types are right; raises TokenBackendError."""
        if len(token) > MAX_TOKEN_LENGTH or not _is_canonical(token):
            raise TokenBackendError("not a compact JWS")
        try:
            header, _ = _unambiguous(token)
            key = self._key(header)
            payload = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self.audience,
                issuer=self.issuer,
                options=OPTIONS,
            )
        # ValueError is how base64 fails; PyJWT meets a claim's wrong type with TypeError before its own errors.
        except (jwt.InvalidTokenError, MalformedRequest, ValueError, TypeError) as error:
            raise TokenBackendError("the token is invalid") from error
        _check_types(payload)
        _check_times(payload, self.get_leeway().total_seconds(), verify_exp=verify_exp)
        return payload

    def _key(self, header: dict[str, Any]) -> Any:
        # `jwk`, `jku` and `x5u` are never read; an extension marked critical is one we do not know (RFC 7515 4.1.11).
        kid, typ = header.get("kid"), header.get("typ")
        if (
            header.get("alg") != ALGORITHM
            or not isinstance(typ, str)
            or typ.lower() != self.typ
            or "crit" in header
        ):
            raise TokenBackendError("the token's header is refused")
        key = key_ring().public.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise TokenBackendError("the token names an unknown key")
        return key


def _is_canonical(token: str) -> bool:
    """RFC 7515 3.1, to the letter: Python's base64 skips foreign characters and ignores the last one's spare bits."""
    if not COMPACT_JWS.fullmatch(token):
        return False
    signature = token.rpartition(".")[2]
    return base64url_encode(base64url_decode(signature)).decode() == signature


def _unambiguous(token: str) -> list[dict[str, Any]]:
    """Header and claims: JSON objects, no name twice in them, or two readers could differ (RFC 7519, 4)."""
    return [parse_json(base64url_decode(part)) for part in token.split(".")[:2]]


def _check_types(payload: dict[str, Any]) -> None:
    for name in TIME_CLAIMS:
        value = payload[name]
        if type(value) is not int or not 0 <= value <= MAX_TIME:
            raise TokenBackendError(f"claim {name} is not a time")
    for name in UUID_CLAIMS:
        if not isinstance(payload[name], str):
            raise TokenBackendError(f"claim {name} is not a string")
    if payload["sub"] != payload["user_id"]:
        raise TokenBackendError("claims sub and user_id differ")


def _check_times(payload: dict[str, Any], leeway: float, *, verify_exp: bool) -> None:
    now = clock.now().timestamp()
    if payload["iat"] > now + leeway or payload["nbf"] > now + leeway:
        raise TokenBackendError("the token is not valid yet")
    if verify_exp and _is_expired(payload["exp"], leeway):
        raise TokenBackendExpiredToken("the token is expired")


def _is_expired(exp: int, leeway: float) -> bool:
    return exp <= clock.now().timestamp() - leeway


def _leeway() -> float:
    leeway: timedelta = settings.SIMPLE_JWT["LEEWAY"]
    return leeway.total_seconds()


@cache
def backend(typ: str) -> KeyedBackend:
    return KeyedBackend(typ)


class AccessToken(simplejwt.AccessToken):
    typ = "at+jwt"  # RFC 9068

    def check_exp(self, claim: str = "exp", current_time: datetime | None = None) -> None:
        super().check_exp(claim, current_time or clock.now())

    @property
    def token_backend(self) -> KeyedBackend:
        return backend(self.typ)


class RefreshToken(simplejwt.RefreshToken):
    typ = "rt+jwt"

    def check_exp(self, claim: str = "exp", current_time: datetime | None = None) -> None:
        super().check_exp(claim, current_time or clock.now())

    @property
    def token_backend(self) -> KeyedBackend:
        return backend(self.typ)


def verify_access_token(raw: str) -> Claims:
    """Claims of a valid access token (RFC 9068). Raises InvalidToken; revocation is asked elsewhere."""
    claims = _verified(raw, key_ring())
    if _is_expired(claims.exp, _leeway()):
        raise InvalidToken
    return claims


# A token says the same each time it is sent, so its signature is verified once a process; any change of the keys
# makes a new ring. What is refused is not remembered. In memory alone, beside the keys that sign such tokens.
@lru_cache(maxsize=REMEMBERED_TOKENS)
def _verified(raw: str, ring: KeyRing) -> Claims:
    try:
        claims = _claims(AccessToken(cast(Any, raw)).payload)
    except (TokenError, TokenBackendError) as error:
        raise InvalidToken from error
    if claims.generation is not None:
        raise InvalidToken
    return claims


def verify_refresh_token(raw: str) -> Claims:
    try:
        claims = _claims(RefreshToken(cast(Any, raw)).payload)
    except (TokenError, TokenBackendError) as error:
        raise InvalidToken from error
    if claims.generation is None:
        raise InvalidToken
    return claims


def read_token_to_revoke(raw: str) -> Claims | None:
    """Claims of a token of either kind whose signature is ours, expired or not; None for anything else."""
    for kind in (AccessToken, RefreshToken):
        try:
            payload = backend(kind.typ).decode(raw, verify_exp=False)
            if payload["token_type"] == kind.token_type:
                return _claims(payload)
        except (TokenBackendError, InvalidToken):
            continue
    return None


def remaining_seconds(claims: Claims) -> int:
    """How long a token can still be accepted, leeway included; at least 1."""
    return max(1, int(claims.exp - clock.now().timestamp() + _leeway()) + 1)


def _claims(payload: dict[str, Any]) -> Claims:
    generation = payload.get("gen")
    if generation is not None and type(generation) is not int:
        raise InvalidToken
    try:
        ids = {name: _uuid(payload[name]) for name in ("user_id", "org_id", "sid", "jti")}
    except ValueError as error:
        raise InvalidToken from error
    return Claims(
        **ids,
        iss=payload["iss"],
        aud=payload["aud"],
        iat=payload["iat"],
        exp=payload["exp"],
        generation=generation,
    )


def _uuid(text: str) -> UUID:
    """As we write it: Python takes `urn:uuid:`, braces and capitals too. Raises ValueError."""
    value = UUID(text)
    if str(value) != text:
        raise ValueError(text)
    return value
