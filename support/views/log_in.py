"""Log-in in two steps. They run as saas_app in the staff's own organization: no other role reads a hash."""

from typing import Any
from uuid import UUID

import pyotp
import segno
from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from accounts.services.login import InvalidCredentials, TooManyAttempts
from accounts.services.sessions import Device
from accounts.services.staff_login import check_staff_password, end_staff_session, open_staff_session
from saas.kit.errors import DomainError
from saas.kit.http import client_address
from support.cookies import HALF_WAY, SESSION
from support.forms import CodeForm, LogInForm
from support.guard import open_page
from support.pages import page
from support.services.second_factor import (
    WrongCode,
    confirm_second_factor,
    half_way,
    unconfirmed_secret,
    use_second_factor,
    who_is_half_way,
)


@require_http_methods(["GET", "HEAD", "POST"])
@open_page
def log_in(request: HttpRequest) -> HttpResponse:
    form = LogInForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return page(request, "log_in", title="Log in", form=form)
    try:
        user_id = check_staff_password(**form.cleaned_data)
    except (InvalidCredentials, TooManyAttempts) as error:
        return _refused(request, "log_in", error, title="Log in", form=form)
    response = redirect("admin:support_second_factor")
    HALF_WAY.write(response, half_way(user_id))
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@open_page
def second_factor(request: HttpRequest) -> HttpResponse:
    user_id = who_is_half_way(HALF_WAY.read(request) or "")
    if user_id is None:
        return redirect("admin:support_login")
    form = CodeForm(request.POST if request.method == "POST" else None)
    secret = unconfirmed_secret(user_id)
    enrolment = _enrolment(request, secret) if secret else {}
    if not form.is_valid():
        return page(request, "second_factor", title="Second factor", form=form, **enrolment)
    try:
        return _pass(request, user_id, form.cleaned_data["code"], is_new=secret is not None)
    except (InvalidCredentials, TooManyAttempts, WrongCode) as error:
        return _refused(request, "second_factor", error, title="Second factor", form=form, **enrolment)


def _pass(request: HttpRequest, user_id: UUID, code: str, *, is_new: bool) -> HttpResponse:
    if is_new:
        codes = confirm_second_factor(user_id=user_id, code=code)
        response = page(request, "recovery_codes", title="Recovery codes", codes=codes)
    else:
        use_second_factor(user_id=user_id, code=code)
        response = redirect("admin:index")
    if held := SESSION.read(request):
        end_staff_session(session_id=UUID(held))
    device = Device(ip=client_address(request), user_agent=request.headers.get("User-Agent", ""))
    session = open_staff_session(user_id=user_id, device=device)
    SESSION.write(response, str(session.id))
    HALF_WAY.remove(response)
    return response


def _enrolment(request: HttpRequest, secret: str) -> dict[str, Any]:
    host = request.get_host()
    uri = pyotp.TOTP(secret).provisioning_uri(name=host, issuer_name="Support")
    return {"secret": secret, "qr_code": segno.make(uri).png_data_uri(scale=5, border=4)}


def _refused(
    request: HttpRequest, template: str, error: DomainError, *, title: str, form: forms.Form, **context: Any
) -> HttpResponse:
    request.refusal = error.code  # type: ignore[attr-defined]
    form.add_error(None, error.detail)
    status = 403 if error.status == 401 else error.status
    response = page(request, template, title=title, status=status, form=form, **context)
    for name, value in error.headers.items():
        response.headers[name] = value
    return response


@require_POST
@open_page
def log_out(request: HttpRequest) -> HttpResponse:
    response = redirect("admin:support_login")
    if cookie := SESSION.read(request):
        end_staff_session(session_id=UUID(cookie))
    SESSION.remove(response)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response
