"""A person's own account: who they are, and where they are logged in."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import selectors
from accounts.api.serializers import ProfileChange, available_timezones
from accounts.devices import device_name
from accounts.page_sessions import forget_here
from accounts.services.members import update_profile
from accounts.services.sessions import log_out, revoke_own_session
from saas.kit.http import Request
from saas.kit.pages import Form, page, see_other


@page("GET", "POST", works_read_only=True)
def profile(request: Request) -> HttpResponse:
    person: Any = request.person
    caller: Any = request.caller
    before = {"name": person.name, "locale": person.locale, "timezone": person.timezone}
    form = Form(request, ProfileChange, values=before)
    if request.method == "POST":
        with form.refusals():
            changed = update_profile(user_id=person.id, session_id=caller.session_id, changes=form.read())
            with translation.override(changed.locale):
                messages.success(request, _("Your profile is saved."))
            return see_other("account")
    choices = {"languages": settings.LANGUAGES, "timezones": sorted(available_timezones() - {"localtime"})}
    return form.render("accounts/profile.html", choices)


@page()
def sessions(request: Request) -> HttpResponse:
    caller: Any = request.caller
    rows = [
        {
            "session": session,
            "device": device_name(session.user_agent),
            "is_this": session.id == caller.session_id,
        }
        for session in selectors.live_sessions(caller.user_id)
    ]
    return render(request, "accounts/sessions.html", {"rows": rows})


@page("POST", works_read_only=True)
def end_session(request: Request, id: UUID) -> HttpResponse:
    caller: Any = request.caller
    revoke_own_session(user_id=caller.user_id, session_id=id)
    messages.success(request, _("That session has ended."))
    if id == caller.session_id:
        return forget_here(request, see_other(settings.LOGIN_URL))
    return see_other("account_sessions")


@page("POST", works_read_only=True)
def end_other_sessions(request: Request) -> HttpResponse:
    caller: Any = request.caller
    log_out(caller.claims, scope="others")
    messages.success(request, _("All your other sessions have ended."))
    return see_other("account_sessions")
