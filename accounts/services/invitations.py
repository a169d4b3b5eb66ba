"""Asking people into the organization, and their coming."""

from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.links import read_link
from accounts.models import DEFAULT_LOCALE, Invitation, Session, User
from accounts.passwords import check_new_password, hash_password
from accounts.selectors import email_of, pending_invitations, seats_taken
from accounts.services.addresses import EmailTaken, mail_link
from accounts.services.members import lock_organization, refuse_low_role, refuse_without_seat
from accounts.services.registration import create_user
from accounts.services.sessions import Device, open_session
from accounts.tokens import SessionClaims
from saas.kit import clock
from saas.kit.errors import DomainError, NotFound
from saas.kit.rate_limits import INVITATIONS, spend
from tenancy.access import refuse_read_only
from tenancy.context import current_organization_id, org_context
from tenancy.models import Organization

INVITED_FOR = timedelta(days=7)


class EmailNotVerified(DomainError):
    code = "email_not_verified"
    status = 403
    title = "Email address not verified"
    detail = "Verify your own address first: the link is in a mail that you can have sent again."
    words = _("Confirm your own address first: the link is in a mail that you can have sent again.")


class AlreadyMember(DomainError):
    code = "already_member"
    status = 409
    title = "Already a member"
    detail = "Somebody with this address is a member already."
    words = _("Somebody with this address is a member already.")


class InvitationExpired(DomainError):
    code = "invitation_expired"
    status = 410
    title = "Invitation expired"
    detail = "The invitation ran out, was taken back or was used. Ask for a new one."
    words = _("The invitation ran out, was taken back or was used. Ask whoever invited you for a new one.")


class EmailMismatch(DomainError):
    code = "email_mismatch"
    status = 403
    title = "Another address was invited"
    detail = "The invitation is for another address than the one that you are logged in with. Log out first."
    words = _(
        "The invitation is for another address than the one that you are logged in with. Log out first."
    )


@transaction.atomic
def invite_member(*, email: str, role: str, by: UUID) -> Invitation:
    """Invite an address. Again, and the new link takes the place of the old one.

    Raises EmailNotVerified, RoleTooLow, AlreadyMember, SeatLimitReached or RateLimited.
    """
    spend(INVITATIONS, str(current_organization_id()))
    organization = lock_organization()
    before = Invitation.objects.filter(email__iexact=email).first()
    refuse_low_role(by, role, before.role if before else None)
    inviter = User.objects.get(id=by)
    if inviter.email_verified_at is None:
        raise EmailNotVerified
    if User.objects.filter(email_key=email.lower()).exists():
        raise AlreadyMember
    refuse_without_seat(organization, taken=seats_taken(but_for=email))
    now = clock.now()
    Invitation.objects.filter(Q(email__iexact=email) | Q(expires_at__lt=now)).delete()
    invitation = Invitation.objects.create(
        email=email, role=role, invited_by=inviter, expires_at=now + INVITED_FOR
    )
    mail_link(
        "accounts/invitation",
        email,
        invitation_id=str(invitation.id),
        inviter=inviter.name or inviter.email,
        locale=inviter.locale,
    )
    return invitation


@transaction.atomic
def withdraw_invitation(invitation_id: UUID, *, by: UUID) -> None:
    """Raises NotFound or RoleTooLow. The link that was mailed leads nowhere from now on."""
    lock_organization()
    invitation = Invitation.objects.filter(id=invitation_id).first()
    if invitation is None:
        raise NotFound
    refuse_low_role(by, invitation.role)
    invitation.delete()


def accept_invitation(
    *,
    token: str,
    password: str,
    name: str,
    device: Device,
    locale: str = DEFAULT_LOCALE,
    caller: SessionClaims | None = None,
) -> Session:
    """Make the invited person a member and log them in. Opens its own transactions: hashing stays outside.

    Raises InvalidLink, InvitationExpired, EmailTaken, SeatLimitReached, SubscriptionRequired or
    ValidationFailed; for a caller who is logged in with another address, EmailMismatch.
    """
    link = read_link("invitation", token)
    if caller is not None:
        _refuse_account(caller, link.organization_id, link.subject_id)
    with org_context(link.organization_id):
        invitation = _pending(link.subject_id)
        organization = Organization.objects.get()
    check_new_password(password, email=invitation.email, name=name, organization_name=organization.name)
    encoded = hash_password(password)
    with org_context(link.organization_id):
        organization = lock_organization()
        refuse_read_only()
        invitation = _pending(link.subject_id)
        refuse_without_seat(organization, taken=seats_taken(but_for=invitation.email))
        user = create_user(
            email=invitation.email,
            password=encoded,
            name=name,
            role=invitation.role,
            locale=locale,
            email_verified_at=clock.now(),
        )
        invitation.delete()
        return open_session(user=user, device=device)


def invitation_of_link(token: str) -> Invitation:
    """What a link invites to, with its organization. Opens its own context. Raises InvalidLink or InvitationExpired."""
    link = read_link("invitation", token)
    with org_context(link.organization_id):
        return _pending(link.subject_id)


def _refuse_account(caller: SessionClaims, organization_id: UUID, invitation_id: UUID) -> None:
    """One organization a person for now: who has an account can't take another, and is told why."""
    with org_context(organization_id):
        invited = _pending(invitation_id).email
    raise EmailTaken if invited.lower() == email_of(caller).lower() else EmailMismatch


def _pending(invitation_id: UUID) -> Invitation:
    pending = pending_invitations().select_related("organization")
    invitation = pending.filter(id=invitation_id).first()
    if invitation is None:
        raise InvitationExpired
    return invitation
