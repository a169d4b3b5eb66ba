"""Which page answers which address; buttons post a form and are answered by a redirect."""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from billing.standin.book import Book
from billing.standin.errors import StripeFailure
from billing.standin.pages import checkout, invoice, portal, start
from billing.standin.pages.layout import whole_page

HERE = Path(__file__).parent
HTML = "text/html; charset=utf-8"

Form = Mapping[str, str]


class Page(NamedTuple):
    body: bytes
    status: int = 200
    kind: str = HTML
    headers: Mapping[str, str] = {}


class Site:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.pages: list[tuple[str, re.Pattern[str], Callable[..., Page]]] = [
            ("GET", re.compile(r"/"), self.start),
            ("GET", re.compile(r"/style\.css"), self.stylesheet),
            ("GET", re.compile(r"/checkout/([^/]+)"), self.checkout),
            ("POST", re.compile(r"/checkout/([^/]+)/(pay|decline)"), self.use_checkout),
            ("GET", re.compile(r"/portal/([^/]+)"), self.portal),
            ("POST", re.compile(r"/portal/([^/]+)"), self.use_portal),
            ("GET", re.compile(r"/customers/([^/]+)"), self.customer),
            ("POST", re.compile(r"/customers/([^/]+)"), self.use_customer),
            ("GET", re.compile(r"/invoices/([^/]+)"), self.invoice),
        ]

    def answer(self, method: str, path: str, form: str) -> Page:
        for known_method, pattern, show in self.pages:
            match = pattern.fullmatch(path)
            if match and known_method == method:
                return self.guarded(show, dict(parse_qsl(form)), *match.groups())
        return notice("There is no such page.", HTTPStatus.NOT_FOUND)

    def guarded(self, show: Callable[..., Page], form: Form, *names: str) -> Page:
        with self.book.change():
            try:
                return show(form, *names)
            except StripeFailure as failure:
                return notice(str(failure), failure.status)

    def start(self, form: Form) -> Page:
        return html(start.page(self.book))

    def stylesheet(self, form: Form) -> Page:
        return Page((HERE / "style.css").read_bytes(), kind="text/css; charset=utf-8")

    def checkout(self, form: Form, session_id: str) -> Page:
        return html(checkout.page(self.book, self.book.session(session_id), declined="declined" in form))

    def use_checkout(self, form: Form, session_id: str, action: str) -> Page:
        if action == "decline":
            self.book.open_session(session_id)
            return redirect(f"/checkout/{session_id}?declined=1")
        session = self.book.pay(session_id, email=form.get("email"))
        return redirect(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))

    def portal(self, form: Form, session_id: str) -> Page:
        session = self.book.find("portal_sessions", session_id)
        customer = self.book.customer(session["customer"])
        return html(portal.page(self.book, customer, back=session["return_url"], notice=form.get("notice")))

    def use_portal(self, form: Form, session_id: str) -> Page:
        session = self.book.find("portal_sessions", session_id)
        return self.act(form, session["customer"], f"/portal/{session_id}")

    def customer(self, form: Form, customer_id: str) -> Page:
        customer = self.book.customer(customer_id)
        return html(portal.page(self.book, customer, back="/", notice=form.get("notice")))

    def use_customer(self, form: Form, customer_id: str) -> Page:
        return self.act(form, customer_id, f"/customers/{customer_id}")

    def act(self, form: Form, customer_id: str, back: str) -> Page:
        """A refusal is shown on the page the button stands on."""
        try:
            portal.act(self.book, customer_id, form)
        except StripeFailure as failure:
            return redirect(f"{back}?notice={quote(str(failure))}")
        return redirect(back)

    def invoice(self, form: Form, invoice_id: str) -> Page:
        return html(invoice.page(self.book, self.book.find("invoices", invoice_id)))


def html(text: str, status: int = 200) -> Page:
    return Page(text.encode(), status=status)


def notice(message: str, status: int) -> Page:
    return html(whole_page("Not possible", "notice", message=message), status)


def redirect(address: str) -> Page:
    return Page(
        b"", status=HTTPStatus.SEE_OTHER, headers={"Location": quote(address, safe=":/?#[]@!$&'()*+,;=%~")}
    )
