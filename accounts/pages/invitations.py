"""Asking people into the organization."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _

from accounts import selectors
from accounts.api.cursors import page as cut
from accounts.api.serializers import InvitationRequest, PageQuery
from accounts.pages.organization import roles_to_give
from accounts.services.invitations import invite_member, withdraw_invitation
from saas.kit.http import Request
from saas.kit.pages import Form, kept_query, page, read_query, see_other
from tenancy.models import Role
from tenancy.permissions import only_admins


@page("GET", "POST")
def invitations(request: Request) -> HttpResponse:
    admin = only_admins(request.caller)
    form = Form(request, InvitationRequest, values={"role": Role.MEMBER.value})
    if request.method == "POST":
        with form.refusals():
            invited = invite_member(**form.read(), by=admin.user_id)
            messages.success(
                request, _("The invitation to %(email)s is on its way.") % {"email": invited.email}
            )
            return see_other("invitation_list")
    query = read_query(PageQuery, request)
    pending = selectors.pending_invitations().select_related("invited_by")
    found, next_cursor = cut(pending, limit=query["limit"], cursor=query.get("cursor"))
    context = {
        "invitations": found,
        "next": next_cursor,
        "kept": kept_query(request),
        "roles": roles_to_give(request),
    }
    return form.render("accounts/invitations.html", context)


@page("POST")
def withdraw(request: Request, id: UUID) -> HttpResponse:
    admin = only_admins(request.caller)
    withdraw_invitation(id, by=admin.user_id)
    messages.success(request, _("The invitation is taken back."))
    return see_other("invitation_list")
