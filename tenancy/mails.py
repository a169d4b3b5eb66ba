"""Mails to people of an organization: queued with the change that causes them, written and sent by the worker.

A message is named like `accounts/welcome` and is one template, `accounts/mail/welcome.txt`. Its first line is
the subject; the HTML part is made of the same text, so the two can't disagree. Facts are stored without
language: a mail is written in its reader's.
"""

import logging
import re
from typing import Any
from uuid import UUID, uuid4, uuid5

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import transaction
from django.template.loader import get_template, render_to_string
from django.utils import timezone, translation
from prometheus_client import Counter

from saas.kit import clock
from saas.kit.errors import DomainError, NotFound
from tenancy.context import current_organization_id, org_context
from tenancy.jobs import defer, running_job
from tenancy.mail_failures import AnswerLost, state_after
from tenancy.models import Mail, MailState, Organization, Role, UndeliverableAddress

logger = logging.getLogger(__name__)

MAILS = Counter("saas_mails", "Mails handed to the provider, by result.", ["result"])
# A crash, or an answer that was lost.
RESENDS_AFTER_A_CRASH = 1
# A paragraph of its own: `Label:` and below it the address. In HTML it becomes a button.
LINK = re.compile(r"(?P<label>[^\n]+):\n(?P<url>https?://\S+)")


class MailInQueue(DomainError):
    code = "mail_in_queue"
    status = 409
    title = "Mail in the queue"
    detail = "The mail waits to be sent, or is being sent."


def queue_mail(
    message: str, *, user_id: UUID | None = None, address: str = "", occasion: str = "", **facts: Any
) -> None:
    """Queue a mail in the caller's transaction, unless it was queued for this user and occasion before.

    It goes to the address that the user has when it is sent, or to `address`. `facts` must be fit for JSON and
    are the template's further variables; `locale` among them is the language for somebody who is no user.
    Raises TemplateDoesNotExist, or NoOrganizationContext outside org_context().
    """
    current_organization_id()
    get_template(template_name(message))
    once: dict[str, Any] = {"user_id": user_id, "address": address, "message": message, "occasion": occasion}
    mail, is_new = Mail.objects.get_or_create(
        **once, defaults={"facts": facts, "message_id": f"<{uuid4()}@{mail_domain()}>"}
    )
    if is_new:
        defer("send_mail", mail_id=str(mail.id))


@transaction.atomic
def resend_mail(*, mail_id: UUID) -> None:
    """Send a mail again that was sent or given up. Raises NotFound, or MailInQueue while its job still sends it."""
    mail = Mail.objects.select_for_update().filter(id=mail_id).first()
    if mail is None:
        raise NotFound
    job = running_job()
    # A new Message-ID: under the old one a mailbox may drop it as known.
    message_id = f"<{uuid4() if job is None else uuid5(mail.id, str(job))}@{mail_domain()}>"
    if mail.message_id == message_id:
        return  # By this job, before a crash.
    if mail.state in (MailState.QUEUED, MailState.SENDING):
        raise MailInQueue
    mail.state, mail.crashes, mail.error = MailState.QUEUED, 0, ""
    mail.message_id = message_id
    mail.save(update_fields=["state", "crashes", "error", "message_id"])
    defer("send_mail", mail_id=str(mail.id))


def queue_mail_to_owners(message: str, *, occasion: str = "", **facts: Any) -> None:
    """The same to each active owner of the organization in force."""
    for owner in active_owners():
        queue_mail(message, user_id=owner.pk, occasion=occasion, **facts)


def active_owners() -> list[Any]:
    """Of the organization in force, the first one first."""
    return list(
        get_user_model().objects.filter(role=Role.OWNER, deactivated_at=None).order_by("created_at", "pk")
    )


def send_mail(organization_id: UUID, *, mail_id: UUID) -> bool:
    """Send one mail with no transaction open; returns whether the provider answered. Raises what may pass: the queue tries
    again.

    A worker that dies in the middle, or an answer that is lost, leaves open whether the provider took the
    mail; it is sent once more under its Message-ID, by which a mailbox knows it again.
    """
    with org_context(organization_id):
        written = _begin(mail_id)
    if written is None:
        return False
    try:
        _send(written)
    except Exception as error:
        state = state_after(error)
        MAILS.labels("refused" if state == MailState.FAILED else "failed").inc()
        with org_context(organization_id):
            Mail.objects.filter(id=mail_id).update(state=state, error=str(error)[:2000])
        if state == MailState.SENDING:
            raise AnswerLost from error
        if state != MailState.FAILED:
            raise
        logger.warning("The provider refused the mail %s for good", mail_id)
        return True
    MAILS.labels("sent").inc()
    with org_context(organization_id):
        Mail.objects.filter(id=mail_id).update(state=MailState.SENT, sent_at=clock.now(), error="")
    return True


def _send(written: EmailMultiAlternatives) -> None:
    with get_connection() as written.connection:
        # A provider that is asked over HTTP: a redirect would take the mail, and its links, to a place that nobody chose.
        if (session := getattr(written.connection, "session", None)) is not None:
            session.max_redirects = 0
        written.send()


def _begin(mail_id: UUID) -> EmailMultiAlternatives | None:
    mail = Mail.objects.select_for_update().filter(id=mail_id).first()
    if mail is None or mail.state not in (MailState.QUEUED, MailState.SENDING):
        return None
    mail.crashes += mail.state == MailState.SENDING
    user: Any = mail.user
    address = mail.address or str(user.email)
    if mail.crashes > RESENDS_AFTER_A_CRASH:
        mail.state = MailState.UNKNOWN
    elif (user and user.deactivated_at) or UndeliverableAddress.objects.filter(
        address=address.lower()
    ).exists():
        mail.state = MailState.SUPPRESSED
    else:
        mail.state = MailState.SENDING
    mail.save(update_fields=["state", "crashes"])
    if mail.state != MailState.SENDING:
        MAILS.labels(mail.state).inc()
        return None
    return write_mail(mail, user=user, address=address)


def write_mail(mail: Mail, *, user: Any, address: str) -> EmailMultiAlternatives:
    """The mail as it goes out, in text and HTML, in its reader's language and time zone."""
    locale = user.locale if user else mail.facts.get("locale", settings.LANGUAGE_CODE)
    with translation.override(locale), timezone.override(user.timezone if user else None):
        subject, text, html = _parts(mail, user=user, address=address)
    written = EmailMultiAlternatives(
        subject=subject, body=text, to=[address], headers={"Message-ID": mail.message_id}
    )
    written.attach_alternative(html, "text/html")
    # The provider sends it back with what it says of the mail: tenancy.mail_tracking.
    # A provider that counts clicks would put its own address before a link, and keep the link's token.
    written.track_clicks = written.track_opens = False  # type: ignore[attr-defined]
    written.metadata = {"organization_id": str(mail.organization_id), "mail_id": str(mail.id)}  # type: ignore[attr-defined]
    return written


def _parts(mail: Mail, *, user: Any, address: str) -> tuple[str, str, str]:
    context = {
        "user": user,
        "address": address,
        "organization": Organization.objects.get(),
        "product": render_to_string("components/product.txt").strip(),
        "public_url": settings.PUBLIC_URL,
        **mail.facts,
    }
    subject, _, text = render_to_string(template_name(mail.message), context).partition("\n")
    context |= {"subject": subject.strip(), "text": text.strip()}
    context["paragraphs"] = [_paragraph(each) for each in context["text"].split("\n\n")]
    return (
        context["subject"],
        render_to_string("components/mail.txt", context),
        render_to_string("components/mail.html", context),
    )


def _paragraph(text: str) -> dict[str, str]:
    link = LINK.fullmatch(text)
    return link.groupdict() if link else {"text": text}


def template_name(message: str) -> str:
    app, _, name = message.partition("/")
    return f"{app}/mail/{name}.txt"


def mail_domain() -> str:
    return settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">")
