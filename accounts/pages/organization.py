"""The organization and its people. Whatever owners and admins alone may do begins with `only_admins`."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from accounts import selectors
from accounts.api.cursors import page as cut
from accounts.api.serializers import MemberQuery, RoleChange
from accounts.models import User
from accounts.pages.forms import Confirmation, OrganizationChange, SupportChange
from accounts.services.members import (
    change_member,
    hand_over_ownership,
    remove_member,
    set_support_allowed,
)
from saas.kit.errors import NotFound
from saas.kit.http import Request
from saas.kit.pages import Form, kept_query, page, read_query, see_other
from tenancy.models import Role
from tenancy.permissions import only_admins, only_owners
from tenancy.selectors import support_accesses
from tenancy.services import rename_organization

SUPPORT_ACCESSES_SHOWN = 50


@page("GET", "POST")
def overview(request: Request) -> HttpResponse:
    person: Any = request.person
    form = Form(request, OrganizationChange, values={"name": person.organization.name})
    if request.method == "POST":
        only_admins(request.caller)
        with form.refusals():
            rename_organization(**form.read())
            messages.success(request, _("The new name is saved."))
            return see_other("organization")
    seats = selectors.seats_taken() if person.is_admin else None
    return form.render("accounts/organization.html", {"seats_taken": seats})


@page("GET", "POST", works_read_only=True)
def support(request: Request) -> HttpResponse:
    """What support staff looked at and did. A POST switches their access off or on, also while a payment is due."""
    admin = only_admins(request.caller)
    form = Form(request, SupportChange)
    if request.method == "POST":
        owner = only_owners(admin)
        with form.refusals():
            set_support_allowed(**form.read(), by=owner.user_id)
            messages.success(request, _("Your choice for support access is saved."))
            return see_other("organization_support")
    found = list(support_accesses(before=_uuid(request.GET.get("before")))[: SUPPORT_ACCESSES_SHOWN + 1])
    accesses = found[:SUPPORT_ACCESSES_SHOWN]
    names = selectors.names_by_id(each.target for each in accesses)
    rows = [{"access": each, "target": names.get(each.target, each.target)} for each in accesses]
    older = accesses[-1].id if len(found) > len(accesses) else None
    context = {"rows": rows, "limit": SUPPORT_ACCESSES_SHOWN, "older": older}
    return form.render("accounts/organization_support.html", context)


def _uuid(text: str | None) -> UUID | None:
    """Raises NotFound for what is none."""
    try:
        return UUID(text) if text is not None else None
    except ValueError:
        raise NotFound from None


@page()
def members(request: Request) -> HttpResponse:
    only_admins(request.caller)
    query = read_query(MemberQuery, request)
    found, next_cursor = cut(
        selectors.members(**{name: query[name] for name in ("role", "status", "q") if name in query}),
        limit=query["limit"],
        cursor=query.get("cursor"),
    )
    return render(
        request,
        "accounts/members.html",
        {"members": found, "query": query, "next": next_cursor, "kept": kept_query(request)},
    )


@page("GET", "POST")
def member(request: Request, id: UUID) -> HttpResponse:
    """Who it is, and what can be done about it. A POST changes the role."""
    admin = only_admins(request.caller)
    form = Form(request, RoleChange)
    if request.method == "POST":
        with form.refusals():
            change_member(user_id=id, by=admin.user_id, **form.read())
            messages.success(request, _("The new role is saved."))
            return see_other("member_page", id=id)
    return _member_page(form, id)


@page("POST")
def deactivate(request: Request, id: UUID) -> HttpResponse:
    return _set_active(request, id, False, _("The member is deactivated, and all their sessions have ended."))


@page("POST")
def reactivate(request: Request, id: UUID) -> HttpResponse:
    return _set_active(request, id, True, _("The member can log in again."))


@page("POST")
def remove(request: Request, id: UUID) -> HttpResponse:
    admin = only_admins(request.caller)
    form = Form(request, Confirmation)
    with form.refusals():
        remove_member(user_id=id, by=admin.user_id)
        messages.success(request, _("The member is removed."))
        return see_other("member_list")
    return _member_page(form, id)


@page("POST")
def hand_over(request: Request, id: UUID) -> HttpResponse:
    admin = only_admins(request.caller)
    form = Form(request, Confirmation)
    with form.refusals():
        hand_over_ownership(to=id, by=admin.user_id)
        messages.success(request, _("Ownership is handed over. You are an admin now."))
        return see_other("member_page", id=id)
    return _member_page(form, id)


def _set_active(request: Request, id: UUID, is_active: bool, done: str) -> HttpResponse:
    admin = only_admins(request.caller)
    form = Form(request, Confirmation)
    with form.refusals():
        change_member(user_id=id, by=admin.user_id, is_active=is_active)
        messages.success(request, done)
        return see_other("member_page", id=id)
    return _member_page(form, id)


def _member_page(form: Form, id: UUID) -> HttpResponse:
    shown = User.objects.filter(id=id).first()
    if shown is None:
        raise NotFound
    return form.render("accounts/member.html", {"member": shown, "roles": roles_to_give(form.request)})


def roles_to_give(request: Request) -> list[tuple[str, Any]]:
    """Only owners make owners: services say so, and a page does not offer it."""
    person: Any = request.person
    return [choice for choice in Role.choices if person.role == Role.OWNER or choice[0] != Role.OWNER]
