"""Register, log in, log out."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render

from accounts.api.serializers import LoginRequest, RegisterRequest
from accounts.devices import device_of, language_of
from accounts.page_sessions import begin_page_session, forget_here
from accounts.services.login import log_in
from accounts.services.registration import register_owner, request_registration
from saas.kit.http import Request
from saas.kit.pages import Form, local_path, page, see_other


@page("GET", "POST", is_public=True, owns_transactions=True, works_read_only=True)
def register(request: Request) -> HttpResponse:
    if request.method == "GET" and request.caller is not None:
        return see_other("account")
    form = Form(request, RegisterRequest)
    if request.method == "POST":
        with form.refusals():
            if settings.REGISTRATION_MODE == "verified":
                request_registration(**form.read(), locale=language_of(request))
                return see_other("mail_sent")
            session = register_owner(**form.read(), device=device_of(request), locale=language_of(request))
            begin_page_session(request, session)
            return see_other("account")
    return form.render("accounts/register.html")


@page(is_public=True)
def mail_sent(request: Request) -> HttpResponse:
    """The same for every address: it does not tell whether one has an account."""
    return render(request, "accounts/mail_sent.html")


@page("GET", "POST", is_public=True, owns_transactions=True, works_read_only=True)
def log_in_page(request: Request) -> HttpResponse:
    wanted = local_path(request.POST.get("next") or request.GET.get("next", ""), default="")
    if request.method == "GET" and request.caller is not None:
        return see_other(wanted or "account")
    form = Form(request, LoginRequest)
    if request.method == "POST":
        with form.refusals():
            session = log_in(**form.read(), device=device_of(request))
            begin_page_session(request, session)
            return see_other(wanted or "account")
    return form.render("accounts/log_in.html", {"next": wanted})


@page("POST", is_public=True, owns_transactions=True, works_read_only=True)
def log_out_page(request: Request) -> HttpResponse:
    return forget_here(request, see_other("landing"))
