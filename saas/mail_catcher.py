"""In development: the mails that were sent, on pages for this machine alone."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import wraps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from saas.kit.errors import NotFound
from saas.kit.http import is_local

SHOWN = 200
# As django.core.mail.backends.filebased names its files and ends each message in them.
FILE = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]+\.log")
END = re.compile(rb"\n-{79}\n(?=[A-Za-z-]+:|\Z)")
NAME = re.compile(r"(?P<file>[0-9]{8}-[0-9]{6}-[0-9]+)-(?P<number>[0-9]{1,6})")

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A mail's own styles and its links, which open outside; nothing else of it is believed.
HTML_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)


@dataclass(frozen=True)
class CaughtMail:
    name: str
    sent_at: datetime
    message: EmailMessage

    @property
    def text(self) -> str:
        return self._body("plain")

    @property
    def html(self) -> str:
        return self._body("html")

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return str(part.get_content()) if part else ""


def caught_mails() -> list[CaughtMail]:
    """The newest first."""
    files = [file for file in Path(settings.EMAIL_FILE_PATH).glob("*.log") if FILE.fullmatch(file.name)]
    newest = sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name), reverse=True)[:SHOWN]
    return [mail for file in newest for mail in reversed(list(_mails_in(file)))]


def _mails_in(file: Path) -> Iterator[CaughtMail]:
    sent_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    # What follows the last end is still being written.
    for number, message in enumerate(END.split(file.read_bytes())[:-1]):
        parsed: Any = message_from_bytes(message, policy=policy.default)
        yield CaughtMail(f"{file.stem}-{number}", sent_at, parsed)


def _find(name: str) -> CaughtMail:
    match = NAME.fullmatch(name)
    file = Path(settings.EMAIL_FILE_PATH, f"{match['file']}.log") if match else None
    if file is None or not file.is_file():
        raise NotFound
    for mail in _mails_in(file):
        if mail.name == name:
            return mail
    raise NotFound


def for_this_machine(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def guarded(request: HttpRequest, **names: str) -> HttpResponse:
        if not is_local(request):
            raise NotFound
        response = view(request, **names)
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        return response

    return require_safe(guarded)


@for_this_machine
def mail_list(request: HttpRequest) -> HttpResponse:
    return render(request, "saas/mail_catcher/list.html", {"mails": caught_mails()})


@for_this_machine
def mail_page(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, "saas/mail_catcher/mail.html", {"mail": _find(name)})


@for_this_machine
def mail_html(request: HttpRequest, name: str) -> HttpResponse:
    """The mail's HTML as it is, for the frame; its links open beside the frame."""
    html = _find(name).html
    if not html:
        raise NotFound
    response = HttpResponse(html.replace("<head>", '<head><base target="_blank">', 1))
    response.headers["Content-Security-Policy"] = HTML_POLICY
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


urlpatterns = [
    path("dev/mail", mail_list, name="mail_catcher"),
    path("dev/mail/<str:name>", mail_page, name="caught_mail"),
    path("dev/mail/<str:name>/html", mail_html, name="caught_mail_html"),
]
