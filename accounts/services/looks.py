"""Support staff look as a customer: a session of the customer's that reads, for an hour, under the eyes of both."""

from typing import cast
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from accounts.issuing import LookToken, issue_look_token
from accounts.links import InvalidLink, read_link
from accounts.models import Session, User
from accounts.services.sessions import Device
from accounts.tokens import SessionClaims
from saas.kit import clock
from saas.kit.errors import DomainError
from tenancy.context import org_context
from tenancy.models import SupportAudit
from tenancy.support_audit import LOOK_LASTS, SupportAction, look_lasts


class LookReadsOnly(DomainError):
    code = "look_reads_only"
    status = 403
    title = "A look reads only"
    detail = "You look as a customer: nothing can be changed, sent or ended but the look itself."
    words = _("You look as a customer: nothing can be changed, sent or ended but the look itself.")


def begin_look(token: str, *, device: Device) -> Session:
    """The session of a look that the support's log has begun. Its link works once, and for two minutes.

    Opens its own transaction. Raises InvalidLink.
    """
    link = read_link("look", token)
    with org_context(link.organization_id):
        begun = SupportAudit.objects.filter(id=link.subject_id, action=SupportAction.BEGIN_LOOK).first()
        if begun is None or not look_lasts(begun.id, user_id=UUID(begun.target)):
            raise InvalidLink
        user = User.objects.filter(id=UUID(begun.target), deactivated_at=None).first()
        if user is None:
            raise InvalidLink
        try:
            with transaction.atomic():
                return Session.objects.create(
                    id=begun.id,
                    user=user,
                    last_seen_at=clock.now(),
                    expires_at=begun.at + LOOK_LASTS,
                    ip=device.ip,
                    user_agent=device.user_agent[:300],
                    looking_staff_id=begun.staff_id,
                    looking_staff_email=begun.staff_email,
                )
        except IntegrityError as error:  # The link was used before.
            raise InvalidLink from error


def look_token(session: Session) -> LookToken:
    """For a program instead of a browser; it names the staff member who acts."""
    claims = SessionClaims(session.user_id, cast(UUID, session.organization_id), session.id)
    return issue_look_token(claims, staff_id=cast(UUID, session.looking_staff_id), ends_at=session.expires_at)
