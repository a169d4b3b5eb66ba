"""What staff have done in an opened organization. The worker does it; the page says that it was asked for."""

from uuid import UUID

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.services.members import LastOwner
from saas.kit.errors import NotFound
from support import selectors
from support.forms import ActionForm, ReasonForm
from support.guard import StaffRequest, staff_page
from support.services.access import ReasonMissing, begin_look, defer_action
from support.views.organizations import opened
from tenancy.support_audit import SupportAction

# The argument that names an action's target to its task, and the target's page.
OF_A_USER = ("user_id", "admin:support_user")
TARGETS = {
    SupportAction.DEACTIVATE_USER: OF_A_USER,
    SupportAction.REACTIVATE_USER: OF_A_USER,
    SupportAction.END_SESSIONS: OF_A_USER,
    SupportAction.RESEND_VERIFICATION: OF_A_USER,
    SupportAction.REPLAY_EVENT: ("event_id", "admin:support_event"),
    SupportAction.RESEND_MAIL: ("mail_id", "admin:support_mail"),
}


@require_POST
@staff_page
def act(request: StaffRequest, organization_id: UUID) -> HttpResponse:
    opened(organization_id)
    form = ActionForm(request.POST)
    if not form.is_valid():
        raise ReasonMissing if "reason" in form.errors else NotFound
    action, target = SupportAction(form.cleaned_data["action"]), form.cleaned_data["target"]
    argument, page_name = TARGETS[action]
    _refuse(organization_id, action, target)
    defer_action(
        organization_id=organization_id,
        action=action,
        arguments={argument: target},
        reason=form.cleaned_data["reason"],
    )
    return redirect(f"{reverse(page_name, args=[organization_id, target])}?asked={action.value}")


@require_POST
@staff_page
def look(request: StaffRequest, organization_id: UUID, user_id: UUID) -> HttpResponse:
    opened(organization_id)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        raise ReasonMissing
    link = begin_look(organization_id=organization_id, user_id=user_id, reason=form.cleaned_data["reason"])
    # Within this very origin, or the page's policy would refuse where its form leads.
    return redirect(link.removeprefix(settings.PUBLIC_URL))


def _refuse(organization_id: UUID, action: SupportAction, target: str) -> None:
    """Say at once what the worker would refuse. Raises NotFound or LastOwner."""
    if action == SupportAction.REPLAY_EVENT:
        is_known = selectors.events(organization_id).filter(stripe_id=target).exists()
    elif action == SupportAction.RESEND_MAIL:
        is_known = selectors.mails(organization_id).filter(id=_uuid(target)).exists()
    else:
        user = selectors.users(organization_id).filter(id=_uuid(target)).first()
        is_known = user is not None
        if user and action == SupportAction.DEACTIVATE_USER and selectors.is_last_owner(user):
            raise LastOwner
    if not is_known:
        raise NotFound


def _uuid(text: str) -> UUID:
    """As our pages write it: what goes into the log, the job and the way back is one and the same."""
    try:
        found = UUID(text)
    except ValueError:
        raise NotFound from None
    if str(found) != text:
        raise NotFound
    return found
