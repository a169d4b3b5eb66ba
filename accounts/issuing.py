"""Tokens that are signed: a session's access and refresh token, and the one of a look as the customer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings

from accounts.tokens import AccessToken, RefreshToken, SessionClaims
from saas.kit import clock


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in: int
    user_id: UUID
    org_id: UUID


def issue_tokens(*, user_id: UUID, organization_id: UUID, session_id: UUID, generation: int) -> TokenPair:
    """Sign an access and a refresh token of one session generation."""
    access, refresh = AccessToken(), RefreshToken()
    claims = SessionClaims(user_id, organization_id, session_id)
    for token in (access, refresh):
        _write_claims(token, claims)
    refresh["gen"] = generation
    return TokenPair(str(access), str(refresh), int(_lifetime().total_seconds()), user_id, organization_id)


@dataclass(frozen=True, slots=True)
class LookToken:
    access_token: str
    expires_in: int
    user_id: UUID
    org_id: UUID


def issue_look_token(claims: SessionClaims, *, staff_id: UUID, ends_at: datetime) -> LookToken:
    """An access token that says who acts for whom (`act`, RFC 8693, 4.1). There is no refresh token with it."""
    token = AccessToken()
    _write_claims(token, claims)
    lifetime = min(_lifetime(), ends_at - clock.now())
    token.set_exp(from_time=clock.now(), lifetime=lifetime)
    token["act"] = {"sub": str(staff_id)}
    return LookToken(str(token), int(lifetime.total_seconds()), claims.user_id, claims.org_id)


def _write_claims(token: AccessToken | RefreshToken, claims: SessionClaims) -> None:
    now = clock.now()
    token.set_iat(at_time=now)
    token.set_exp(from_time=now)
    token["jti"] = str(uuid4())
    token["sub"] = token["user_id"] = str(claims.user_id)
    token["org_id"] = str(claims.org_id)
    token["sid"] = str(claims.sid)
    token["nbf"] = token["iat"]


def _lifetime() -> timedelta:
    lifetime: timedelta = settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"]
    return lifetime
