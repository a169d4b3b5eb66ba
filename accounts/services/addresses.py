"""Confirming that a person reads mail to their address, or to the one that they want instead."""

from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils.crypto import salted_hmac

from accounts.links import InvalidLink, read_link
from accounts.models import EMAIL_KEY_CONSTRAINT, User
from accounts.services.registration import EmailTaken
from accounts.services.sessions import forget_facts_after_commit
from saas.kit import clock
from saas.kit.errors import RateLimited
from saas.kit.rate_limits import MAILS_TO_AN_ADDRESS, hit
from tenancy.context import org_context
from tenancy.database import violated_constraint
from tenancy.mails import queue_mail


def may_mail(email: str) -> bool:
    """Counts one mail that a stranger can cause, by address, and says whether it may go out."""
    digest = salted_hmac("accounts.addresses", email.lower(), algorithm="sha256").hexdigest()
    return hit(MAILS_TO_AN_ADDRESS, digest).allowed


@transaction.atomic
def send_verification(*, user_id: UUID) -> None:
    """Mail a link that confirms the present address, or the one that it is to become. Nothing if there is no need."""
    user = User.objects.filter(id=user_id, deactivated_at=None).first()
    if user is None:
        return
    if user.pending_email:
        queue_mail(
            "accounts/confirm_new_email", user_id=user.id, address=user.pending_email, occasion=str(uuid4())
        )
    elif user.email_verified_at is None:
        queue_mail("accounts/verify_email", user_id=user.id, occasion=str(uuid4()))


@transaction.atomic
def start_email_change(user: User, *, email: str) -> None:
    """Note the new address and mail a link to it; the present one stays until the link is used, and is told.

    The present one itself takes an earlier wish back. Raises RateLimited.
    """
    user.pending_email = "" if email == user.email else email
    user.save(update_fields=["pending_email", "updated_at"])
    if not user.pending_email:
        return
    if not may_mail(email):
        raise RateLimited(MAILS_TO_AN_ADDRESS.per)
    send_verification(user_id=user.id)
    queue_mail("accounts/email_change_started", user_id=user.id, occasion=str(uuid4()), new_email=email)


def verify_email(token: str) -> None:
    """Take a link from a mail. Opens its own transaction. Raises InvalidLink or EmailTaken."""
    link = read_link("verify-email", token)
    with org_context(link.organization_id):
        user = User.objects.select_for_update().filter(id=link.subject_id, deactivated_at=None).first()
        if user is None:
            raise InvalidLink
        if user.pending_email and link.is_made_of(user.pending_email):
            _take_new_email(user)
        elif not link.is_made_of(user.email):
            raise InvalidLink
        if user.email_verified_at is None:
            user.email_verified_at = clock.now()
            user.save(update_fields=["email_verified_at", "updated_at"])
        forget_facts_after_commit([user.id])


def _take_new_email(user: User) -> None:
    before = user.email
    user.email, user.pending_email, user.email_verified_at = user.pending_email, "", None
    try:
        user.save(update_fields=["email", "pending_email", "email_verified_at", "updated_at"])
    except IntegrityError as error:
        if violated_constraint(error) == EMAIL_KEY_CONSTRAINT:
            raise EmailTaken from error
        raise
    queue_mail("accounts/email_changed", user_id=user.id, address=before, occasion=str(uuid4()))
