"""What stands around every page of the admin: the session, its transaction as saas_support, headers, errors."""

from collections.abc import Callable
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_protect

from saas.kit.errors import DomainError
from support.cookies import SESSION
from support.pages import POLICY, staff_error_page
from support.selectors import staff_of_session
from tenancy.staff import SUPPORT_ALIAS, Staff, staff_in_force

View = Callable[..., HttpResponse]


class StaffRequest(HttpRequest):
    staff: Staff


def open_page(view: View) -> View:
    """A page for whoever is not logged in yet."""

    @csrf_protect
    @wraps(view)
    def guarded(request: HttpRequest, **names: Any) -> HttpResponse:
        try:
            response = view(request, **names)
        except DomainError as error:
            # Raised through the transaction, so that nothing of it stays.
            response = staff_error_page(request, error)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Cache-Control"] = "no-store"
        return response

    guarded.owns_transactions = True  # type: ignore[attr-defined]
    return guarded


def staff_page(view: View) -> View:
    """A page for staff: one transaction of the support alias, in their name; without a session the log-in."""

    @wraps(view)
    def for_staff(request: HttpRequest, **names: Any) -> HttpResponse:
        cookie = SESSION.read(request)
        if cookie is None:
            return redirect("admin:support_login")
        with transaction.atomic(using=SUPPORT_ALIAS):
            staff = staff_of_session(UUID(cookie))
            if staff is None:
                return redirect("admin:support_login")
            cast(StaffRequest, request).staff = staff
            with staff_in_force(staff):
                response = view(request, **names)
            if response.status_code >= 400:
                transaction.set_rollback(True, using=SUPPORT_ALIAS)
        return response

    return open_page(for_staff)
