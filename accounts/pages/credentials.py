"""A person's own address and password."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _

from accounts.api.serializers import PasswordChange
from accounts.pages.forms import EmailChange
from accounts.services.addresses import send_own_links
from accounts.services.members import update_profile
from accounts.services.passwords import change_password
from saas.kit.http import Request
from saas.kit.pages import Form, page, see_other


@page("GET", "POST", works_read_only=True)
def email(request: Request) -> HttpResponse:
    person: Any = request.person
    caller: Any = request.caller
    form = Form(request, EmailChange)
    if request.method == "POST":
        with form.refusals():
            changed = update_profile(user_id=person.id, session_id=caller.session_id, changes=form.read())
            if changed.pending_email:
                text = _("A link is on its way to %(email)s. Your address changes once you open it.")
                messages.info(request, text % {"email": changed.pending_email})
            else:
                messages.success(request, _("Your address stays as it is."))
            return see_other("account_email")
    return form.render("accounts/email.html")


@page("POST", works_read_only=True)
def send_verification_again(request: Request) -> HttpResponse:
    person: Any = request.person
    send_own_links(user_id=person.id)
    messages.info(request, _("A new link is on its way, unless there were too many within the last hour."))
    return see_other("account_email")


@page("GET", "POST", owns_transactions=True, works_read_only=True)
def password(request: Request) -> HttpResponse:
    caller: Any = request.caller
    form = Form(request, PasswordChange)
    if request.method == "POST":
        with form.refusals():
            change_password(caller.claims, **form.read())
            messages.success(request, _("Your new password is set, and your other sessions have ended."))
            return see_other("account_password")
    return form.render("accounts/password.html")
