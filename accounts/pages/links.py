"""What links in mails lead to. Mail scanners open links: a GET shows a button, and the POST acts."""

from django.contrib import messages
from django.http import HttpResponse
from django.utils.translation import gettext as _

from accounts.api.serializers import AcceptRequest, EmailRequest, LinkRequest, ResetRequest
from accounts.devices import device_of, language_of
from accounts.page_sessions import begin_page_session
from accounts.services.invitations import accept_invitation, invitation_of_link
from accounts.services.looks import begin_look
from accounts.services.passwords import reset_password
from accounts.services.requests import request_mail
from accounts.services.verification import verify_email
from saas.kit.http import Request
from saas.kit.pages import Form, page, see_other


@page("GET", "POST", is_public=True, owns_transactions=True, works_read_only=True, holds_token=True)
def verify_email_page(request: Request) -> HttpResponse:
    form = Form(request, LinkRequest, values=_token_of(request))
    if request.method == "POST":
        with form.refusals():
            verify_email(form.read()["token"])
            messages.success(request, _("Your address is confirmed."))
            return see_other("account_email" if request.caller else "log_in")
    return form.render("accounts/verify_email.html")


@page("GET", "POST", is_public=True, owns_transactions=True, works_read_only=True)
def forgot_password(request: Request) -> HttpResponse:
    form = Form(request, EmailRequest)
    if request.method == "POST":
        with form.refusals():
            request_mail("mail_reset_link", **form.read())
            return see_other("mail_sent")
    return form.render("accounts/forgot_password.html")


@page("GET", "POST", is_public=True, owns_transactions=True, works_read_only=True, holds_token=True)
def reset_password_page(request: Request) -> HttpResponse:
    form = Form(request, ResetRequest, values=_token_of(request))
    if request.method == "POST":
        with form.refusals():
            reset_password(**form.read())
            messages.success(
                request, _("Your new password is set, and all sessions have ended. Log in with it.")
            )
            return see_other("log_in")
    return form.render("accounts/reset_password.html")


@page("GET", "POST", is_public=True, owns_transactions=True, works_read_only=True, holds_token=True)
def invitation(request: Request) -> HttpResponse:
    form = Form(request, AcceptRequest, values=_token_of(request))
    if request.method == "POST":
        with form.refusals():
            claims = request.caller.claims if request.caller else None
            session = accept_invitation(
                **form.read(), device=device_of(request), locale=language_of(request), caller=claims
            )
            begin_page_session(request, session)
            return see_other("account")
    invited = invitation_of_link(form.values["token"])
    return form.render("accounts/invitation.html", {"invited": invited})


@page("GET", "POST", is_public=True, owns_transactions=True, works_read_only=True, holds_token=True)
def look(request: Request) -> HttpResponse:
    """No mail leads here but the admin: this browser becomes the customer's, to read, and whatever it was before ends."""
    form = Form(request, LinkRequest, values=_token_of(request))
    if request.method == "POST":
        with form.refusals():
            begin_page_session(request, begin_look(form.read()["token"], device=device_of(request)))
            return see_other("account")
    return form.render("accounts/look.html")


def _token_of(request: Request) -> dict[str, str]:
    return {"token": request.GET.get("token", "")}
