"""The search, and an organization on one page once access to it is open."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from saas.kit import clock
from support import selectors
from support.forms import ReasonForm, SearchForm
from support.guard import StaffRequest, staff_page
from support.pages import filters, page
from support.services.access import AccessNotOpen, open_access
from tenancy.models import Organization

SHOWN = 10


@require_safe
@staff_page
def index(request: StaffRequest) -> HttpResponse:
    form = SearchForm(request.GET if "q" in request.GET else None)
    found, number = None, 1
    if form.is_valid():
        number = form.cleaned_data["page"] or 1
        found = selectors.found_organizations(form.cleaned_data["q"], page=number)
    return page(
        request,
        "index",
        title="Organizations",
        form=form,
        found=found,
        number=number,
        has_more=found is not None and len(found) == selectors.FOUND_AT_MOST,
        filters=filters(request),
        opened=selectors.opened_organizations()[:SHOWN],
    )


@require_safe
@staff_page
def organization(request: StaffRequest, organization_id: UUID) -> HttpResponse:
    organization = selectors.organization(organization_id)
    if organization is None:
        return _closed(request, organization_id, ReasonForm())
    return page(
        request,
        "organization",
        title=organization.name,
        organization=organization,
        minutes=minutes_left(request, organization_id),
        members=selectors.users(organization_id)[:SHOWN],
        customer=selectors.customer(organization_id),
        subscriptions=selectors.subscriptions(organization_id)[:SHOWN],
        events=selectors.events(organization_id)[:SHOWN],
        mails=selectors.mails(organization_id)[:SHOWN],
        audit=selectors.audit(organization_id=organization_id)[:SHOWN],
    )


@require_POST
@staff_page
def open_organization(request: StaffRequest, organization_id: UUID) -> HttpResponse:
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _closed(request, organization_id, form)
    open_access(organization_id=organization_id, reason=form.cleaned_data["reason"])
    return redirect("admin:support_organization", organization_id)


def _closed(request: HttpRequest, organization_id: UUID, form: ReasonForm) -> HttpResponse:
    return page(
        request, "closed", title="Open access to an organization", organization_id=organization_id, form=form
    )


def opened(organization_id: UUID) -> Organization:
    """Raises AccessNotOpen."""
    organization = selectors.organization(organization_id)
    if organization is None:
        raise AccessNotOpen
    return organization


def minutes_left(request: StaffRequest, organization_id: UUID) -> int:
    until = selectors.opened_until(request.staff, organization_id)
    return int((until - clock.now()).total_seconds() // 60) + 1 if until else 0
