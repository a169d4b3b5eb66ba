"""The organization's plan, and the ways to Stripe. What calls Stripe owns its transactions."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render

from billing import selectors
from billing.api.serializers import CheckoutRequest, PortalRequest
from billing.checks import STRIPE
from billing.pages.words import invoice_row, next_date, offers, state_words
from billing.plans import FREE, PLANS
from billing.services.checkout import start_checkout, way_back, ways_back
from billing.services.invoices import own_invoices
from billing.services.portal import open_portal
from billing.state import SUSPENDED
from billing.stripe_client import ProviderFailure
from saas.kit.http import Request
from saas.kit.pages import Form, page, see_other, spoken
from tenancy.context import org_context
from tenancy.models import Access
from tenancy.permissions import Caller, only_admins

STRIPES_PAGES = ("https://checkout.stripe.com", "https://billing.stripe.com")


def stripes_pages() -> tuple[str, ...]:
    """Origins that a button leads to; Chromium holds `form-action` against redirects too."""
    return STRIPES_PAGES if settings.STRIPE_API_BASE == STRIPE else (settings.STRIPE_API_BASE,)


@page(form_targets=stripes_pages)
def billing(request: Request) -> HttpResponse:
    return _billing_page(Form(request, PortalRequest))


@page("POST", owns_transactions=True, works_read_only=True, form_targets=stripes_pages)
def checkout(request: Request) -> HttpResponse:
    admin = only_admins(request.caller)
    form = Form(request, CheckoutRequest)
    with form.refusals():
        begun = start_checkout(organization_id=admin.organization_id, **ways_back() | form.read())
        return see_other(begun.checkout_url)
    return _billing_page_of(admin, form)


@page("POST", owns_transactions=True, works_read_only=True, form_targets=stripes_pages)
def portal(request: Request) -> HttpResponse:
    admin = only_admins(request.caller)
    form = Form(request, PortalRequest)
    with form.refusals():
        fields = {"return_url": way_back()} | form.read()
        return see_other(open_portal(organization_id=admin.organization_id, **fields))
    return _billing_page_of(admin, form)


@page(owns_transactions=True)
def invoices(request: Request) -> HttpResponse:
    admin = only_admins(request.caller)
    try:
        rows, failure = [invoice_row(each) for each in own_invoices(admin.organization_id)], ""
    except ProviderFailure as error:
        rows, failure = [], spoken(error)
    return render(request, "billing/invoices.html", {"invoices": rows, "failure": failure})


def _billing_page_of(admin: Caller, form: Form) -> HttpResponse:
    with org_context(admin.organization_id):
        return _billing_page(form)


def _billing_page(form: Form) -> HttpResponse:
    standing = selectors.standing()
    word, tone = state_words(standing)
    next_word, next_moment = next_date(standing)
    context = {
        "standing": standing,
        "plan": PLANS.get(standing["plan"], FREE),
        "is_free": standing["status"] in ("none", "incomplete"),
        "is_due": standing["status"] in SUSPENDED,
        "is_read_only": standing["access"] == Access.READ_ONLY,
        "is_back": form.request.GET.get("checkout") == "done",
        "word": word,
        "tone": tone,
        "next_word": next_word,
        "next_moment": next_moment,
        "offers": offers(),
    }
    return form.render("billing/billing.html", context)
