"""Registration, log-in and tokens. These views own their transactions: hashing never happens inside one."""

from typing import Any, cast
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.api.serializers import (
    LoginRequest,
    LogoutAnswer,
    LogoutRequest,
    RefreshRequest,
    RegisterAnswer,
    RegisterRequest,
    RegistrationRequested,
    TokenAnswer,
    ValidateAnswer,
    ValidateRequest,
)
from accounts.callers import Caller
from accounts.devices import device_of as device_of_client
from accounts.devices import language_of
from accounts.selectors import live_profile
from accounts.services.addresses import EmailTaken
from accounts.services.login import InvalidCredentials, TooManyAttempts, log_in
from accounts.services.looks import LookReadsOnly
from accounts.services.registration import register_owner, request_registration
from accounts.services.sessions import (
    Device,
    InvalidRefreshToken,
    RefreshTokenReused,
    log_out,
    refresh_session,
    session_tokens,
)
from accounts.tokens import (
    Claims,
    InvalidToken,
    read_token_to_revoke,
    verify_access_token,
    verify_refresh_token,
)
from saas.kit.errors import NotAuthenticated, may_raise
from saas.kit.serializers import read, represent


class PublicAuth(ViewSet):
    """What works without a token. Only log-out looks at one that is sent."""

    authentication_classes = ()
    permission_classes = ()
    owns_transactions = True
    works_read_only = True

    @extend_schema(
        request=RegisterRequest,
        responses={
            201: RegisterAnswer,
            202: OpenApiResponse(
                RegistrationRequested,
                "With REGISTRATION_MODE=verified, whether or not the address has an account",
            ),
        },
    )
    @may_raise(EmailTaken)
    def register(self, request: Request) -> Response:
        """Make an organization with its owner, and log the owner in."""
        fields = read(RegisterRequest, request)
        if settings.REGISTRATION_MODE == "verified":
            request_registration(**fields, locale=language_of(request._request))
            return Response(represent(RegistrationRequested, {}), status=202)
        session = register_owner(**fields, device=device_of(request), locale=language_of(request._request))
        return Response(represent(RegisterAnswer, session_tokens(session)), status=201)

    @extend_schema(request=LoginRequest, responses=TokenAnswer)
    @may_raise(InvalidCredentials, TooManyAttempts)
    def login(self, request: Request) -> Response:
        fields = read(LoginRequest, request)
        session = log_in(**fields, device=device_of(request))
        return Response(represent(TokenAnswer, session_tokens(session)))

    @extend_schema(request=RefreshRequest, responses=TokenAnswer)
    @may_raise(InvalidRefreshToken, RefreshTokenReused)
    def refresh(self, request: Request) -> Response:
        """Each refresh token works once; its successor comes with the answer."""
        fields = read(RefreshRequest, request)
        try:
            claims = verify_refresh_token(fields["refresh_token"])
        except InvalidToken as error:
            raise InvalidRefreshToken from error
        return Response(represent(TokenAnswer, refresh_session(claims)))

    @extend_schema(request=LogoutRequest, responses=LogoutAnswer, auth=[{"bearer": []}, {}])  # type: ignore[list-item]
    @may_raise(NotAuthenticated, InvalidToken)
    def logout(self, request: Request) -> Response:
        """End the session of the bearer token or refresh token; harmless to repeat (RFC 7009)."""
        fields = read(LogoutRequest, request)
        raw_tokens = [raw for raw in (_raw_bearer(request), fields.get("refresh_token")) if raw]
        if not raw_tokens:
            raise NotAuthenticated
        if fields["scope"] != "local":
            caller: Caller | None = request._request.caller  # type: ignore[attr-defined]
            if caller is None:
                raise InvalidToken
            if caller.look is not None:
                raise LookReadsOnly
            log_out(caller.claims, scope=fields["scope"])
        elif presented := [claims for raw in raw_tokens if (claims := read_token_to_revoke(raw))]:
            for claims in presented:
                log_out(claims, scope="local")
        return Response(represent(LogoutAnswer, {}))


class Tokens(ViewSet):
    works_read_only = True

    @extend_schema(request=ValidateRequest, responses=ValidateAnswer)
    def validate(self, request: Request) -> Response:
        """Whether the bearer token, or a token of the caller's organization in the body, is good just now."""
        fields = read(ValidateRequest, request)
        caller = cast(Caller, request.user)
        if "token" not in fields:
            staff_id = caller.look.staff_id if caller.look else None
            return Response(_active(cast(Claims, caller.claims), caller.role, staff_id))
        try:
            claims = verify_access_token(fields["token"])
        except InvalidToken:
            return Response({"active": False})
        session = None
        if claims.org_id == caller.organization_id:
            session = live_profile(claims)
        if session is None:
            return Response({"active": False})
        return Response(_active(claims, session.profile.role, session.looking_staff_id))

    # The one row that it may read is read in a transaction of its own.
    validate.owns_transactions = True  # type: ignore[attr-defined]


def _active(claims: Claims, role: str, staff_id: UUID | None) -> dict[str, Any]:
    return {
        "active": True,
        "token_type": "Bearer",
        "user_id": claims.user_id,
        "org_id": claims.org_id,
        "role": role,
        "sid": claims.sid,
        "jti": claims.jti,
        "iss": claims.iss,
        "aud": claims.aud,
        "iat": claims.iat,
        "exp": claims.exp,
        **({"act": {"sub": staff_id}} if staff_id else {}),
    }


def device_of(request: Request) -> Device:
    return device_of_client(request._request)


def _raw_bearer(request: Request) -> str | None:
    scheme, _, raw = request.headers.get("Authorization", "").partition(" ")
    return raw.strip(" ") if scheme.lower() == "bearer" else None
