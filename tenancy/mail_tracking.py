"""What the mail provider reports: a hard bounce or a complaint marks the address."""

import json
import logging
from typing import Any
from uuid import UUID

from anymail.signals import AnymailTrackingEvent, EventType, RejectReason, tracking
from anymail.urls import urlpatterns as provider_urls
from anymail.webhooks.sendgrid import SendGridTrackingWebhookView
from django.conf import settings
from django.db import DataError
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from prometheus_client import Counter

from saas.kit.errors import DomainError, MalformedRequest
from tenancy.context import org_context
from tenancy.models import Mail, UndeliverableAddress

logger = logging.getLogger(__name__)

REPORTS = Counter("saas_mail_reports", "What the mail provider reported, by type.", ["type"])
# What reading and storing an entry raise that holds anything else than it should.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError, DataError)
HARD_BOUNCES = (RejectReason.BOUNCED, RejectReason.INVALID)


class MailReportsNotConfigured(DomainError):
    code = "mail_reports_not_configured"
    status = 503
    title = "Mail reports not configured"
    detail = "No key is set to verify the mail provider's reports with, so none is believed."
    retry_after = 3600


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def mail_reports(request: HttpRequest) -> HttpResponse:
    """The provider's event webhook. Anymail verifies the signature, which without a key it would not ask for."""
    view = tracking_view()
    if view is None:
        raise MailReportsNotConfigured
    response: HttpResponse = view(request)
    return response


def tracking_view() -> Any | None:
    """Anymail's view for the provider of EMAIL_BACKEND; None if nothing would be verified."""
    provider = settings.EMAIL_BACKEND.split(".")[-2]
    if provider == "sendgrid":
        # It signs: a password in the address, which others may read, is not enough.
        key = settings.ANYMAIL.get("SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY")
        return SendGridReports.as_view() if key else None
    if not settings.ANYMAIL.get("WEBHOOK_SECRET"):
        return None
    names = {pattern.name: pattern.callback for pattern in provider_urls}
    return names.get(f"{provider}_tracking_webhook")


class SendGridReports(SendGridTrackingWebhookView):  # type: ignore[misc]
    """Reads a batch entry by entry: one that makes no sense must not have SendGrid repeat the others for ever."""

    def parse_events(self, request: HttpRequest) -> list[AnymailTrackingEvent]:
        """Raises MalformedRequest for a body that is no list."""
        try:
            entries = json.loads(request.body)
        except ValueError as error:
            raise MalformedRequest("The body is signed, but is no JSON.") from error
        if not isinstance(entries, list):
            raise MalformedRequest("The body is signed, but is no list.")
        return [event for entry in entries if (event := self._read(entry))]

    def _read(self, entry: Any) -> AnymailTrackingEvent | None:
        try:
            return self.esp_to_anymail_event(entry)
        except UNREADABLE:
            count_unreadable()
            return None


@receiver(tracking, dispatch_uid="tenancy.mail_tracking")
def note_report(sender: Any, event: AnymailTrackingEvent, **kwargs: Any) -> None:
    """One report of a verified batch. What makes no sense is counted and left; an outage is raised."""
    try:
        _note(event)
    except UNREADABLE:
        count_unreadable()
    else:
        REPORTS.labels(event.event_type).inc()


def count_unreadable() -> None:
    """Called while the error is handled."""
    logger.warning("A report of the mail provider could not be read", exc_info=True)
    REPORTS.labels("unreadable").inc()


def _note(event: AnymailTrackingEvent) -> None:
    mail_of_event = _mail_of(event)
    reason = _reason_to_stop(event)
    if not (mail_of_event and reason):
        return
    organization_id, mail_id = mail_of_event
    with org_context(organization_id):
        mail = Mail.objects.select_for_update().filter(id=mail_id).first()
        # The provider's signature has no age limit, so a report may be replayed: each counts once.
        if mail is None or event.event_id in mail.provider_events:
            return
        if event.event_id:
            mail.provider_events.append(event.event_id)
            mail.save(update_fields=["provider_events"])
        UndeliverableAddress.objects.get_or_create(
            address=event.recipient.lower(), defaults={"reason": reason}
        )


def _mail_of(event: AnymailTrackingEvent) -> tuple[UUID, UUID] | None:
    """The organization and the mail that its metadata name; None if it is not one of ours.

    The provider's account may send other mail too. Raises AttributeError for what is no text.
    """
    named = (event.metadata.get("organization_id"), event.metadata.get("mail_id"))
    if None in named:
        return None
    try:
        return UUID(named[0]), UUID(named[1])
    except ValueError:
        return None


def _reason_to_stop(event: AnymailTrackingEvent) -> str:
    if event.event_type == EventType.COMPLAINED:
        return "complained"
    return "bounced" if event.event_type == EventType.BOUNCED and _is_hard(event) else ""


def _is_hard(event: AnymailTrackingEvent) -> bool:
    if event.reject_reason is not None:
        return event.reject_reason in HARD_BOUNCES
    # Anymail reads no reason from SendGrid's bounces, whose `type` is `bounce`, or `blocked` for what passes.
    return bool(event.esp_event.get("type") == "bounce")
