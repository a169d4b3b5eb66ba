"""An organization's users, Stripe events and mails: lists in pages, and each on a page with what can be done."""

import json
from collections.abc import Iterator
from uuid import UUID

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.models import User
from billing.models import EventState
from saas.kit.errors import NotFound
from support import selectors
from support.guard import StaffRequest, staff_page
from support.pages import filters, page, rows_of_page
from support.views.organizations import opened
from tenancy.models import MailState
from tenancy.support_audit import SupportAction


@require_safe
@staff_page
def users(request: StaffRequest, organization_id: UUID) -> HttpResponse:
    q = request.GET.get("q", "").replace("\0", "")
    return page(
        request,
        "users",
        title="Users",
        organization=opened(organization_id),
        rows=rows_of_page(request, selectors.users(organization_id, q=q)),
        q=q,
        filters=filters(request),
    )


@require_safe
@staff_page
def user(request: StaffRequest, organization_id: UUID, user_id: UUID) -> HttpResponse:
    organization = opened(organization_id)
    user = selectors.users(organization_id).filter(id=user_id).first()
    if user is None:
        raise NotFound
    return page(
        request,
        "user",
        title=user.email,
        organization=organization,
        user_shown=user,
        sessions=rows_of_page(request, selectors.sessions(user)),
        filters=filters(request),
        actions=list(_actions_on(user)),
        target=user.id,
    )


def _actions_on(user: User) -> Iterator[SupportAction]:
    yield SupportAction.DEACTIVATE_USER if user.is_active else SupportAction.REACTIVATE_USER
    yield SupportAction.END_SESSIONS
    if user.is_active and user.email_verified_at is None:
        yield SupportAction.RESEND_VERIFICATION


@require_safe
@staff_page
def events(request: StaffRequest, organization_id: UUID) -> HttpResponse:
    state = request.GET.get("state", "")
    found = selectors.events(organization_id, state=state if state in EventState.values else "")
    return page(
        request,
        "events",
        title="Stripe events",
        organization=opened(organization_id),
        rows=rows_of_page(request, found),
        states=EventState.values,
        state=state,
        filters=filters(request),
    )


@require_safe
@staff_page
def event(request: StaffRequest, organization_id: UUID, stripe_id: str) -> HttpResponse:
    organization = opened(organization_id)
    event = selectors.event(organization_id, stripe_id)
    if event is None:
        raise NotFound
    return page(
        request,
        "event",
        title=event.stripe_id,
        organization=organization,
        event=event,
        payload=json.dumps(event.payload, indent=2),
        actions=[SupportAction.REPLAY_EVENT],
        target=event.stripe_id,
    )


@require_safe
@staff_page
def mails(request: StaffRequest, organization_id: UUID) -> HttpResponse:
    state = request.GET.get("state", "")
    found = selectors.mails(organization_id, state=state if state in MailState.values else "")
    return page(
        request,
        "mails",
        title="Mails",
        organization=opened(organization_id),
        rows=rows_of_page(request, found),
        states=MailState.values,
        state=state,
        filters=filters(request),
    )


@require_safe
@staff_page
def mail(request: StaffRequest, organization_id: UUID, mail_id: UUID) -> HttpResponse:
    organization = opened(organization_id)
    mail = selectors.mails(organization_id).filter(id=mail_id).first()
    if mail is None:
        raise NotFound
    return page(
        request,
        "mail",
        title=mail.message,
        organization=organization,
        mail=mail,
        actions=[SupportAction.RESEND_MAIL],
        target=mail.id,
    )
