"""Mails about an account: queued with the change that causes them, written and sent by the worker."""

from uuid import UUID, uuid4

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from accounts import metrics
from accounts.models import User
from tenancy.context import org_context
from tenancy.jobs import defer

SUBJECTS = {
    "welcome": "Welcome to {organization}",
    "refresh_token_reused": "We ended one of your sessions",
}


def queue_email(message: str, *, user_id: UUID) -> None:
    """Queue a mail of SUBJECTS in the caller's transaction; its Message-ID stays the same however often it is tried."""
    if message not in SUBJECTS:
        raise KeyError(message)
    defer("send_email", message=message, user_id=str(user_id), message_id=f"<{uuid4()}@{mail_domain()}>")


def send(organization_id: UUID, *, message: str, user_id: UUID, message_id: str) -> None:
    """Write the mail from the database's present state, then send it with no transaction open."""
    with org_context(organization_id):
        user = User.objects.select_related("organization").filter(id=user_id).first()
    if user is None:
        return
    context = {"user": user, "organization": user.organization, "public_url": settings.PUBLIC_URL}
    mail = EmailMessage(
        subject=SUBJECTS[message].format(organization=user.organization.name),
        body=render_to_string(f"accounts/mail/{message}.txt", context),
        to=[user.email],
        headers={"Message-ID": message_id},
    )
    try:
        mail.send()
    except Exception:
        metrics.MAILS.labels("failed").inc()
        raise
    metrics.MAILS.labels("sent").inc()


def mail_domain() -> str:
    return settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">")
