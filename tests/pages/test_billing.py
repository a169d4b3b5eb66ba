"""Plan, checkout, portal and invoices, against the stand-in."""

import pytest

from billing.models import Customer
from tenancy.context import org_context
from tests.pages.browsing import assert_page, browser_of


@pytest.fixture
def subscribed(stripe, alice):
    stripe.subscription = stripe.subscribe(alice)
    stripe.deliver_new()
    return alice


@pytest.fixture
def due(stripe, subscribed):
    stripe.book.end_trial(stripe.subscription, succeeds=True)
    stripe.book.renew(stripe.subscription, succeeds=False)
    stripe.deliver_new()
    return subscribed


class TestPlan:
    def test_it_is_free_at_first_and_others_are_offered(self, alice):
        page = browser_of(alice).get("/billing")
        assert_page(page, 200, "Your plan: Free", "USD 29.00 a month", "USD 990.00 a year", "10 seats")
        assert "payment failed" not in page.text

    def test_a_trial_shows_its_end(self, subscribed):
        page = browser_of(subscribed).get("/billing")
        assert_page(page, 200, "Your plan: Starter", "Trial", "First payment on", "Change plan or card")
        assert "Choose a plan" not in page.text

    def test_a_paid_one_shows_its_renewal(self, stripe, subscribed):
        stripe.book.end_trial(stripe.subscription, succeeds=True)
        stripe.deliver_new()
        assert_page(browser_of(subscribed).get("/billing"), 200, "Active", "Renews on")

    def test_a_member_reads_and_can_do_nothing(self, subscribed, bob):
        page = browser_of(bob).get("/billing")
        assert_page(page, 200, "Your plan: Starter", "Owners and admins")
        for action in ("/billing/checkout", "/billing/portal", "/billing/invoices"):
            assert action not in page.text

    def test_it_says_to_wait_for_a_payment_that_was_just_made(self, alice):
        assert_page(browser_of(alice).get("/billing?checkout=done"), 200, "tells us in a moment")


class TestCheckout:
    def test_it_leads_to_stripe_and_back(self, stripe, alice, settings):
        browser = browser_of(alice)
        response = browser.send(
            "/billing/checkout", {"plan": "starter", "interval": "yearly"}, page="/billing"
        )
        assert response.status_code == 303
        assert response.headers["Location"].startswith(f"{stripe.standin.url}/checkout/")
        with org_context(alice.organization_id):
            wanted = Customer.objects.get().checkout_parameters
        assert (wanted["plan"], wanted["interval"]) == ("starter", "yearly")
        assert wanted["success_url"] == f"{settings.PUBLIC_URL}/billing?checkout=done"

    def test_its_policy_lets_the_browser_go_there(self, settings, alice):
        browser = browser_of(alice)
        settings.STRIPE_API_BASE = "https://api.stripe.com"
        policy = browser.get("/billing").headers["Content-Security-Policy"]
        assert "form-action 'self' https://checkout.stripe.com https://billing.stripe.com;" in policy
        assert "stripe.com" not in browser.get("/account").headers["Content-Security-Policy"]

    def test_a_plan_that_is_none_is_refused(self, stripe, alice):
        response = browser_of(alice).send("/billing/checkout", {"plan": "free"}, page="/billing")
        assert_page(response, 422, "Your plan: Free")

    def test_a_second_subscription_is_refused(self, subscribed):
        response = browser_of(subscribed).send("/billing/checkout", {"plan": "starter"}, page="/account")
        assert_page(response, 409, "has a subscription already", "Your plan: Starter")

    def test_a_foreign_way_back_is_refused(self, stripe, alice):
        fields = {"plan": "starter", "success_url": "https://evil.example/"}
        response = browser_of(alice).send("/billing/checkout", fields, page="/billing")
        assert response.status_code == 422
        assert stripe.calls("POST", "/v1/checkout/sessions") == []

    def test_stripe_down_is_told_and_the_page_is_there(self, stripe, alice, settings):
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"
        response = browser_of(alice).send("/billing/checkout", {"plan": "starter"}, page="/billing")
        assert_page(response, 503, "does not answer just now", "Your plan: Free")
        assert response.headers["Retry-After"] == "10"


class TestPortal:
    def test_it_leads_to_stripe(self, stripe, subscribed):
        response = browser_of(subscribed).send("/billing/portal", page="/billing")
        assert response.status_code == 303
        assert response.headers["Location"].startswith(f"{stripe.standin.url}/portal/")

    def test_nobody_without_a_customer_goes_there(self, stripe, alice):
        response = browser_of(alice).send("/billing/portal", page="/billing")
        assert_page(response, 409, "Choose a plan first")


class TestFailedPayment:
    def test_the_banner_shows_the_way_out(self, stripe, due):
        browser = browser_of(due)
        page = browser.get("/billing")
        assert_page(page, 200, "A payment failed", "Pay or change the card", "Read-only", 'role="alert"')
        assert "Choose a plan" not in page.text
        assert browser.send("/billing/portal", page="/billing").status_code == 303

    def test_other_pages_point_to_it(self, due, bob):
        assert_page(browser_of(due).get("/account"), 200, "A payment is due.", 'href="/billing"')
        page = browser_of(bob).get("/billing")
        assert_page(page, 200, "A payment failed", "Tell an owner or admin")
        assert "/billing/portal" not in page.text

    def test_days_of_grace_are_told(self, stripe, subscribed, settings):
        settings.BILLING_GRACE_DAYS = 7
        stripe.book.end_trial(stripe.subscription, succeeds=False)
        stripe.deliver_new()
        page = browser_of(subscribed).get("/billing")
        assert_page(page, 200, "A payment failed", "Everything works until", "Read-only from", "Full")

    def test_it_is_gone_once_paid(self, stripe, due):
        stripe.book.renew(stripe.subscription, succeeds=True)
        stripe.deliver_new()
        browser = browser_of(due)
        assert "A payment failed" not in browser.get("/billing").text
        assert "A payment is due" not in browser.get("/account").text


class TestInvoices:
    def test_they_are_listed_with_their_links(self, stripe, due):
        page = browser_of(due).get("/billing/invoices")
        assert_page(page, 200, "USD 29.00", "Paid", "Open", "Pay it", f'href="{stripe.standin.url}/')

    def test_there_is_none_before_a_checkout(self, stripe, alice):
        assert_page(browser_of(alice).get("/billing/invoices"), 200, "No invoice yet.")
        assert stripe.standin.requests == []

    def test_others_are_not_among_them(self, stripe, due, charlie):
        assert_page(browser_of(charlie).get("/billing/invoices"), 200, "No invoice yet.")

    def test_stripe_down_is_told_on_the_page(self, due, settings):
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"
        assert_page(browser_of(due).get("/billing/invoices"), 200, "can't be shown just now", "Look again")

    def test_a_customer_that_is_gone_has_none(self, stripe, due):
        with org_context(due.organization_id):
            Customer.objects.update(stripe_id="cus_gone")
        assert_page(browser_of(due).get("/billing/invoices"), 200, "No invoice yet.")
