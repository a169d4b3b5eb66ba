"""What the mail provider reports: a hard bounce or a complaint marks the address."""

from typing import Any
from uuid import UUID

from anymail.signals import AnymailTrackingEvent, EventType, RejectReason, tracking
from anymail.urls import urlpatterns as provider_urls
from django.conf import settings
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import Counter

from saas.kit.errors import DomainError
from tenancy.context import org_context
from tenancy.models import Mail, UndeliverableAddress

REPORTS = Counter("saas_mail_reports", "What the mail provider reported, by type.", ["type"])
HARD_BOUNCES = (RejectReason.BOUNCED, RejectReason.INVALID)


class MailReportsNotConfigured(DomainError):
    code = "mail_reports_not_configured"
    status = 503
    title = "Mail reports not configured"
    detail = "No key is set to verify the mail provider's reports with, so none is believed."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "3600"})


@csrf_exempt
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
    is_signed = settings.ANYMAIL.get(f"{provider.upper()}_TRACKING_WEBHOOK_VERIFICATION_KEY")
    if not (is_signed or settings.ANYMAIL.get("WEBHOOK_SECRET")):
        return None
    names = {pattern.name: pattern.callback for pattern in provider_urls}
    return names.get(f"{provider}_tracking_webhook")


@receiver(tracking, dispatch_uid="tenancy.mail_tracking")
def note_report(sender: Any, event: AnymailTrackingEvent, **kwargs: Any) -> None:
    """One report of a verified batch. The mail's own metadata says whose it is."""
    REPORTS.labels(event.event_type).inc()
    try:
        organization_id = UUID(event.metadata["organization_id"])
        mail_id = UUID(event.metadata["mail_id"])
    except (KeyError, ValueError, TypeError):
        return  # Not one of ours: the provider's account may send other mail too.
    with org_context(organization_id):
        mail = Mail.objects.select_for_update().filter(id=mail_id).first()
        # The provider's signature has no age limit, so a report may be replayed: each counts once.
        if mail is None or event.event_id in mail.provider_events:
            return
        mail.provider_events.append(event.event_id)
        mail.save(update_fields=["provider_events"])
        if reason := _reason_to_stop(event):
            UndeliverableAddress.objects.get_or_create(
                address=event.recipient.lower(), defaults={"reason": reason}
            )


def _reason_to_stop(event: AnymailTrackingEvent) -> str:
    if event.event_type == EventType.COMPLAINED:
        return "complained"
    return "bounced" if event.event_type == EventType.BOUNCED and _is_hard(event) else ""


def _is_hard(event: AnymailTrackingEvent) -> bool:
    if event.reject_reason is not None:
        return event.reject_reason in HARD_BOUNCES
    # Anymail reads no reason from SendGrid's bounces, whose `type` is `bounce`, or `blocked` for what passes.
    return bool(event.esp_event.get("type") == "bounce")
