"""Confirming that a person reads mail to their address, or to the one that they want instead."""

from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.links import InvalidLink, read_link, state_of
from accounts.models import EMAIL_CONSTRAINT, User
from accounts.services.sessions import forget_facts_after_commit
from saas.kit import clock
from saas.kit.errors import DomainError
from saas.kit.rate_limits import ADDRESS_CHANGES, MAILS_TO_AN_ADDRESS, hit, spend
from saas.kit.security_log import note_after_commit
from tenancy.context import org_context
from tenancy.database import violated_constraint
from tenancy.jobs import running_job
from tenancy.mails import queue_mail


class EmailTaken(DomainError):
    code = "email_taken"
    status = 409
    title = "Email address taken"
    detail = "An account with this email address exists already."
    words = _("An account with this email address exists already. Log in, or take another address.")


def mail_link(message: str, address: str, *, user: User | None = None, **facts: Any) -> None:
    """Queue a mail that others can cause, MAILS_TO_AN_ADDRESS at most; beyond that nobody is told.

    A job that runs again after a crash queues none that it queued before.
    """
    digest = salted_hmac("accounts.addresses", f"{message}:{address.lower()}", algorithm="sha256").hexdigest()
    if hit(MAILS_TO_AN_ADDRESS, digest).allowed:
        user_id = user.id if user else None
        job = running_job()
        occasion = str(uuid4()) if job is None else f"job {job}"
        queue_mail(message, user_id=user_id, address=address, occasion=occasion, **facts)


def send_verification(user: User) -> None:
    """Mail a link that confirms the present address. Nothing if there is no need."""
    if user.email_verified_at is None:
        mail_link("accounts/verify_email", user.email, user=user)


@transaction.atomic
def send_own_links(*, user_id: UUID) -> None:
    """What its owner may have sent again: links that confirm the present address and the one that it is to become."""
    user = User.objects.get(id=user_id)
    send_verification(user)
    if user.pending_email:
        mail_link("accounts/confirm_new_email", user.pending_email, user=user)


@transaction.atomic
def start_email_change(user: User, *, email: str) -> None:
    """Note the new address and mail a link to it; the present one stays until the link is used, and is told.

    The present one itself takes an earlier wish back. Raises RateLimited.
    """
    spend(ADDRESS_CHANGES, str(user.id))
    user.pending_email = "" if email == user.email else email
    user.save(update_fields=["pending_email", "updated_at"])
    if user.pending_email:
        mail_link("accounts/confirm_new_email", email, user=user)
        # By its name: when the mail goes out, the present address may be the new one.
        queue_mail(
            "accounts/email_change_started",
            user_id=user.id,
            address=user.email,
            occasion=str(uuid4()),
            new_email=email,
        )


def confirm_address(token: str) -> None:
    """The present one, or take the new one. Opens its own transaction. Raises InvalidLink or EmailTaken."""
    link = read_link("verify-email", token)
    with org_context(link.organization_id):
        user = User.objects.select_for_update().filter(id=link.subject_id, deactivated_at=None).first()
        if user is None:
            raise InvalidLink
        if user.pending_email and link.is_made_of(state_of(user, user.pending_email)):
            _take_new_email(user)
        elif not link.is_made_of(state_of(user, user.email)):
            raise InvalidLink
        if user.email_verified_at is None:
            user.email_verified_at = clock.now()
            user.save(update_fields=["email_verified_at", "updated_at"])
        forget_facts_after_commit([user.id])


def _take_new_email(user: User) -> None:
    before = user.email
    note_after_commit("address_changed", subject=user.id)
    user.email, user.pending_email, user.email_verified_at = user.pending_email, "", None
    try:
        user.save(update_fields=["email", "pending_email", "email_verified_at", "updated_at"])
    except IntegrityError as error:
        if violated_constraint(error) == EMAIL_CONSTRAINT:
            raise EmailTaken from error
        raise
    queue_mail("accounts/email_changed", user_id=user.id, address=before, occasion=str(uuid4()))
