"""What links in mails lead to, and asking for these mails. Hashing never happens inside a transaction."""

from typing import cast

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.api.auth import device_of
from accounts.api.serializers import (
    AcceptRequest,
    EmailRequest,
    EmailVerified,
    LinkRequest,
    LookAnswer,
    MailRequested,
    PasswordChange,
    PasswordChanged,
    ResendRequest,
    ResetRequest,
    TokenAnswer,
)
from accounts.callers import Caller
from accounts.devices import language_of
from accounts.services.addresses import EmailTaken, send_own_links
from accounts.services.invitations import EmailMismatch, InvitationExpired, accept_invitation
from accounts.services.login import TooManyAttempts
from accounts.services.looks import begin_look, look_token
from accounts.services.members import SeatLimitReached
from accounts.services.passwords import change_password, reset_password
from accounts.services.requests import request_mail
from accounts.services.sessions import session_tokens
from accounts.services.verification import verify_email
from saas.kit.errors import NotAuthenticated, may_raise
from saas.kit.serializers import read, represent
from tenancy.access import SubscriptionRequired
from tenancy.context import org_context


class Links(ViewSet):
    """Works without a token; the link's own says who it is for."""

    authentication_classes = ()
    permission_classes = ()
    owns_transactions = True
    works_read_only = True

    @extend_schema(request=LinkRequest, responses=EmailVerified)
    @may_raise(EmailTaken)
    def verify_email(self, request: Request) -> Response:
        """Confirm an address with the token of the link that was mailed there."""
        verify_email(read(LinkRequest, request)["token"])
        return Response(represent(EmailVerified, {}))

    @extend_schema(request=ResendRequest, responses={202: MailRequested}, auth=[{"bearer": []}, {}])  # type: ignore[list-item]
    @may_raise(NotAuthenticated)
    def resend_verification(self, request: Request) -> Response:
        """Mail the link again: to the caller, or to `email`, whether or not that has an account."""
        email, caller = read(ResendRequest, request).get("email"), _caller(request)
        if email is not None:
            request_mail("mail_verification_link", email=email)
        elif caller is not None:
            with org_context(caller.organization_id):
                send_own_links(user_id=caller.user_id)
        else:
            raise NotAuthenticated
        return Response(represent(MailRequested, {}), status=202)

    @extend_schema(request=EmailRequest, responses={202: MailRequested})
    def forgot_password(self, request: Request) -> Response:
        """Mail a link that sets a new password. The answer is the same if the address has no account."""
        request_mail("mail_reset_link", **read(EmailRequest, request))
        return Response(represent(MailRequested, {}), status=202)

    @extend_schema(request=ResetRequest, responses=PasswordChanged)
    def reset_password(self, request: Request) -> Response:
        """Set a new password with a link's token. Every session of the person ends."""
        reset_password(**read(ResetRequest, request))
        return Response(represent(PasswordChanged, {}))

    @extend_schema(request=LinkRequest, responses={201: LookAnswer})
    def begin_look(self, request: Request) -> Response:
        """For support staff who look as a customer: an access token that reads, from the link that the admin gave."""
        session = begin_look(read(LinkRequest, request)["token"], device=device_of(request))
        return Response(represent(LookAnswer, look_token(session)), status=201)

    @extend_schema(request=AcceptRequest, responses={201: TokenAnswer}, auth=[{"bearer": []}, {}])  # type: ignore[list-item]
    @may_raise(EmailTaken, EmailMismatch, InvitationExpired, SeatLimitReached, SubscriptionRequired)
    def accept_invitation(self, request: Request) -> Response:
        """Become a member of the organization that sent the link, and log in."""
        caller = _caller(request)
        session = accept_invitation(
            **read(AcceptRequest, request),
            device=device_of(request),
            locale=language_of(request._request),
            caller=caller.claims if caller else None,
        )
        return Response(represent(TokenAnswer, session_tokens(session)), status=201)


class Password(ViewSet):
    owns_transactions = True
    works_read_only = True

    @extend_schema(request=PasswordChange, responses=PasswordChanged)
    @may_raise(TooManyAttempts)
    def change(self, request: Request) -> Response:
        """Set a new password. The caller's other sessions end."""
        change_password(cast(Caller, request.user).claims, **read(PasswordChange, request))
        return Response(represent(PasswordChanged, {}))


def _caller(request: Request) -> Caller | None:
    caller: Caller | None = request._request.caller  # type: ignore[attr-defined]
    return caller
