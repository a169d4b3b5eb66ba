"""Checkout and portal: one customer, one open session, bounded answers, and nothing half-written."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from billing import stripe_client
from billing.models import Customer, Subscription
from billing.services import checkout as service
from billing.services.checkout import start_checkout
from billing.services.subscriptions import write_down
from billing.standin.faults import always, once
from billing.state import Status
from tenancy.context import org_context
from tests.accounts.asking import assert_field_errors, assert_refused, in_thread, jobs
from tests.billing.conftest import customer_of
from tests.conftest import make_member
from tests.project.launching import eventually

STARTER = {"plan": "starter"}


def check_out(person, **body):
    return person.api.post("/payments/checkout", STARTER | body)


def open_sessions(stripe):
    return [each for each in stripe.book.checkout_sessions.values() if each["status"] == "open"]


class TestPlans:
    def test_anybody_may_read_them(self, anonymous):
        plans = {plan["code"]: plan for plan in anonymous.get("/payments/plans").json()["data"]}
        assert set(plans) == {"free", "starter", "professional"}
        assert plans["free"]["prices"] == []
        assert plans["starter"]["limits"] == {"seats": 10}
        assert plans["starter"]["prices"][0] == {
            "interval": "monthly",
            "amount": 2900,
            "currency": "usd",
            "lookup_key": "starter_monthly",
        }


class TestCheckout:
    def test_it_opens_a_session_for_the_tokens_organization(self, stripe, alice):
        answer = check_out(alice)
        assert answer.status_code == 201
        assert set(answer.json()) == {"id", "url", "expires_at"}
        [session] = open_sessions(stripe)
        organization_id = str(alice.organization_id)
        assert session["client_reference_id"] == session["metadata"]["org_id"] == organization_id
        assert (session["id"], session["url"]) == (answer.json()["id"], answer.json()["url"])
        [customer] = stripe.book.customers.values()
        assert customer["metadata"] == {"org_id": organization_id}
        assert (customer["name"], customer["email"]) == ("Acme", "alice@acme.example")
        assert customer_of(alice).stripe_id == customer["id"]

    def test_the_same_again_is_the_same_session(self, stripe, alice):
        first, second = check_out(alice).json(), check_out(alice).json()
        assert first == second
        assert len(stripe.calls("POST", "/v1/checkout/sessions")) == 1

    def test_another_plan_replaces_it(self, stripe, alice):
        first = check_out(alice).json()
        second = check_out(alice, plan="professional", interval="yearly").json()
        assert first["id"] != second["id"]
        [session] = open_sessions(stripe)
        assert session["id"] == second["id"]
        assert len(stripe.book.customers) == 1

    def test_two_at_once_make_one_customer_and_one_session(self, stripe, alice):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: in_thread(check_out, alice), range(8)))
        assert {answer.status_code for answer in answers} <= {201, 503}
        assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
        assert len(stripe.book.customers) == 1
        assert len(open_sessions(stripe)) == 1
        again = check_out(alice)
        assert again.status_code == 201
        assert len(open_sessions(stripe)) == 1

    def test_two_plans_at_once_make_one_session(self, stripe, alice):
        stripe.standin.fault = once("delay", 1.0, method="POST", path="/v1/checkout/sessions")
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(in_thread, check_out, alice)
            while not stripe.calls("GET", "/v1/prices"):
                time.sleep(0.01)
            second = check_out(alice, plan="professional")
        assert_refused(second, 409, "checkout_in_progress")
        assert second.headers["Retry-After"] == "5"
        assert first.result().status_code == 201
        assert len(open_sessions(stripe)) == 1

    def test_one_that_is_overtaken_leaves_no_open_session(self, stripe, alice, monkeypatch):
        monkeypatch.setattr(service, "ABANDONED_AFTER", service.ABANDONED_AFTER * 0)
        stripe.standin.fault = once("delay", 1.0, method="POST", path="/v1/checkout/sessions")
        with ThreadPoolExecutor(2) as pool:
            slow = pool.submit(in_thread, check_out, alice)
            while not stripe.calls("GET", "/v1/prices"):
                time.sleep(0.01)
            assert check_out(alice, plan="professional").status_code == 201
        assert_refused(slow.result(), 409, "checkout_in_progress")
        assert [each["metadata"]["plan"] for each in open_sessions(stripe)] == ["professional"]
        assert len(stripe.book.customers) == 1

    def test_an_abandoned_one_is_repeated_under_its_keys(self, stripe, alice, monkeypatch):
        """The process died after Stripe had answered: nothing of the answer was stored."""
        abandon(alice, monkeypatch)
        assert customer_of(alice).stripe_id is None
        again = start_checkout(organization_id=alice.organization_id, **WANTED)
        assert len(stripe.book.customers) == 1
        assert [each["id"] for each in open_sessions(stripe)] == [again.checkout_id]

    def test_a_price_may_change_before_it_is_repeated(self, stripe, alice, monkeypatch):
        abandon(alice, monkeypatch)
        [old] = [each for each in stripe.book.prices.values() if each["lookup_key"] == "starter_monthly"]
        old["lookup_key"], new = None, {**old, "id": "price_new", "unit_amount": 3100}
        stripe.book.prices["price_new"] = new
        again = start_checkout(organization_id=alice.organization_id, **WANTED)
        assert len(stripe.book.customers) == 1
        [session] = open_sessions(stripe)
        assert (session["id"], session["amount_total"]) == (again.checkout_id, 3100)

    def test_another_plan_after_an_abandoned_one_expires_it(self, stripe, alice, monkeypatch):
        abandon(alice, monkeypatch)
        monkeypatch.setattr(service, "ABANDONED_AFTER", service.ABANDONED_AFTER * 0)
        assert check_out(alice, plan="professional").status_code == 201
        assert [each["metadata"]["plan"] for each in open_sessions(stripe)] == ["professional"]
        assert len(stripe.book.customers) == 1

    def test_a_subscribed_organization_is_refused(self, stripe, alice):
        stripe.subscribe(alice)
        stripe.deliver_new()
        assert_refused(check_out(alice), 409, "subscription_exists")

    def test_a_subscription_that_was_never_paid_is_not_in_the_way(self, stripe, alice):
        subscription_id = stripe.subscribe(alice)
        stripe.book.subscriptions[subscription_id]["status"] = Status.INCOMPLETE
        with org_context(alice.organization_id):
            begun = {"customer": Customer.objects.get(), "status": Status.INCOMPLETE, "plan": "starter"}
            Subscription.objects.create(stripe_id=subscription_id, **begun)
            write_down()
        assert alice.api.get("/payments/subscription").json()["plan"] == "free"
        assert check_out(alice, plan="professional").status_code == 201

    @pytest.mark.parametrize("plan", ["starter", "professional"])
    def test_one_that_paid_is_refused_before_the_webhook_comes(
        self, stripe, alice, owner_connection, monkeypatch, plan
    ):
        monkeypatch.setattr(service, "HANDED_OUT_FOR", service.HANDED_OUT_FOR * 0)
        subscription_id = stripe.subscribe(alice)
        assert_refused(check_out(alice, plan=plan), 409, "subscription_exists")
        assert open_sessions(stripe) == []
        [(_, arguments)] = jobs(owner_connection, "refresh_subscription")
        assert arguments["subscription_id"] == subscription_id

    def test_one_that_paid_and_then_cancelled_may_check_out_again(self, stripe, alice, monkeypatch):
        monkeypatch.setattr(service, "HANDED_OUT_FOR", service.HANDED_OUT_FOR * 0)
        stripe.book.cancel(stripe.subscribe(alice))
        again = check_out(alice)
        assert again.status_code == 201
        assert [each["id"] for each in open_sessions(stripe)] == [again.json()["id"]]

    def test_an_expired_session_is_not_handed_out_again(self, stripe, alice, monkeypatch):
        monkeypatch.setattr(service, "HANDED_OUT_FOR", service.HANDED_OUT_FOR * 0)
        stripe.book.expire(check_out(alice).json()["id"])
        again = check_out(alice)
        assert again.status_code == 201
        assert [each["id"] for each in open_sessions(stripe)] == [again.json()["id"]]

    def test_an_open_one_is_handed_out_again(self, stripe, alice, monkeypatch):
        monkeypatch.setattr(service, "HANDED_OUT_FOR", service.HANDED_OUT_FOR * 0)
        assert check_out(alice).json() == check_out(alice).json()
        assert len(open_sessions(stripe)) == 1

    @pytest.mark.parametrize("role", ["member"])
    def test_members_are_refused(self, stripe, alice, bob, role):
        assert_refused(check_out(bob), 403, "insufficient_role")
        assert_refused(bob.api.post("/payments/portal"), 403, "insufficient_role")

    def test_admins_may(self, stripe, alice):
        ada = make_member(alice.organization_id, "ada@acme.example", role="admin")
        assert check_out(ada).status_code == 201

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({"plan": "free"}, "#/plan", "invalid_choice"),
            ({"plan": "gold"}, "#/plan", "invalid_choice"),
            ({"interval": "weekly"}, "#/interval", "invalid_choice"),
            ({"success_url": "https://evil.example/"}, "#/success_url", "foreign_url"),
            ({"cancel_url": "javascript:alert(1)"}, "#/cancel_url", "foreign_url"),
            ({"cancel_url": "//evil.example"}, "#/cancel_url", "foreign_url"),
            ({"success_url": 7}, "#/success_url", "invalid"),
            ({"organization": "x"}, "#/organization", "unknown_field"),
            ({"customer": "cus_1"}, "#/customer", "unknown_field"),
        ],
    )
    def test_what_is_refused(self, stripe, alice, body, pointer, code):
        assert_field_errors(check_out(alice, **body), (pointer, code))
        assert stripe.standin.requests == []

    @pytest.mark.parametrize(
        "url",
        [
            "{0}.evil.example/",
            "{0}@evil.example/",
            "{0}:1/",
            "{0}\\@evil.example",
            "{0}:8443/",
            "{1}user@{2}/",
            "{1}user:secret@{2}/",
            "{1}evil.example@{2}/",
            "{0}%2eevil.example",
        ],
    )
    def test_addresses_that_only_look_like_ours_are_refused(self, stripe, alice, settings, url):
        settings.PUBLIC_URL = "https://app.example.com"
        scheme, _, host = settings.PUBLIC_URL.partition("//")
        wrong = url.format(settings.PUBLIC_URL, f"{scheme}//", host)
        assert_field_errors(check_out(alice, success_url=wrong), ("#/success_url", "foreign_url"))

    def test_own_pages_and_front_ends_are_taken(self, stripe, alice, settings):
        settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
        urls = {
            "success_url": f"{settings.PUBLIC_URL}/thanks?x=1",
            "cancel_url": "https://app.example.com/plans",
        }
        assert check_out(alice, **urls).status_code == 201

    def test_no_transaction_is_open_while_stripe_is_called(self, stripe, alice):
        with org_context(alice.organization_id), pytest.raises(stripe_client.StripeCalledInTransaction):
            stripe_client.call("test", lambda client: client.v1.customers.list())
        assert stripe.standin.requests == []


WANTED = {
    "plan": "starter",
    "interval": "monthly",
    "success_url": "http://localhost/a",
    "cancel_url": "http://localhost/b",
}


def abandon(person, monkeypatch):
    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(service, "_finish", die)
        start_checkout(organization_id=person.organization_id, **WANTED)


def die(*args):
    raise KeyboardInterrupt


class TestPortal:
    def test_it_opens_the_customers_portal(self, stripe, alice):
        check_out(alice)
        answer = alice.api.post("/payments/portal")
        assert answer.status_code == 201
        [session] = stripe.book.portal_sessions.values()
        assert session["customer"] == customer_of(alice).stripe_id
        assert answer.json() == {"url": session["url"]}

    def test_without_a_customer_there_is_none(self, stripe, alice):
        assert_refused(alice.api.post("/payments/portal"), 409, "no_billing_customer")

    def test_a_foreign_return_url_is_refused(self, stripe, alice):
        answer = alice.api.post("/payments/portal", {"return_url": "https://evil.example"})
        assert_field_errors(answer, ("#/return_url", "foreign_url"))


class TestTrouble:
    """Each answer within ten seconds, and nothing half-written."""

    @pytest.fixture(params=["checkout", "portal"])
    def ask(self, request, stripe, alice):
        if request.param == "portal":
            check_out(alice)
            stripe.standin.requests.clear()
        return lambda: alice.api.post(
            f"/payments/{request.param}", STARTER if request.param == "checkout" else {}
        )

    @pytest.mark.parametrize(
        ("trouble", "status", "code"),
        [
            (("status", 500), 503, "payment_provider_unavailable"),
            (("status", 503), 503, "payment_provider_unavailable"),
            (("status", 429), 503, "payment_provider_unavailable"),
            (("drop",), 503, "payment_provider_unavailable"),
            # Longer than anybody here waits, but it ends.
            (("delay", 12), 503, "payment_provider_unavailable"),
            (("trickle", 1), 503, "payment_provider_unavailable"),
            (("trickle", 0.02), 503, "payment_provider_unavailable"),
            (("status", 400), 502, "payment_provider_error"),
            (("status", 403), 502, "payment_provider_error"),
        ],
        ids=lambda value: str(value),
    )
    def test_what_stripe_does(self, stripe, ask, trouble, status, code):
        stripe.standin.fault = always(*trouble)
        started_at = time.monotonic()
        answer = ask()
        assert time.monotonic() - started_at < 10
        assert_refused(answer, status, code)
        if status == 503:
            assert int(answer.headers["Retry-After"]) > 0
        stripe.standin.fault = None
        # What Stripe still works on, it finishes first.
        assert eventually(lambda: ask().status_code == 201)
        assert len(stripe.book.customers) == 1
        assert len(open_sessions(stripe)) == 1

    @pytest.mark.parametrize("path", ["/v1/customers", "/v1/prices", "/v1/checkout/sessions"])
    @pytest.mark.parametrize("status", [500, 400])
    def test_a_failure_is_not_repeated_for_a_day(self, stripe, alice, path, status):
        stripe.standin.fault = lambda method, asked: ("status", status) if asked == path else None
        assert check_out(alice).status_code in (502, 503)
        stripe.standin.fault = None
        assert check_out(alice).status_code == 201
        assert len(stripe.book.customers) == len(open_sessions(stripe)) == 1

    @pytest.mark.parametrize("trouble", [("drop",), ("status", 429)], ids=str)
    def test_what_nobody_knows_is_repeated_under_its_keys(self, stripe, alice, trouble):
        stripe.standin.fault = always(*trouble)
        assert_refused(check_out(alice), 503, "payment_provider_unavailable")
        stripe.standin.fault = None
        assert check_out(alice).status_code == 201
        keys = {key for _, path, _, key in stripe.standin.requests if path == "/v1/customers" and key}
        assert len(keys) == len(stripe.book.customers) == len(open_sessions(stripe)) == 1

    def test_stripe_is_down(self, alice, settings):
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = "sk_test_x", "http://127.0.0.1:1"
        assert_refused(check_out(alice), 503, "payment_provider_unavailable")

    @pytest.mark.parametrize("lose", ["delete_customer", "lose_everything"])
    def test_stripe_knows_the_customer_no_more(self, stripe, alice, lose):
        check_out(alice)
        globals()[lose](stripe)
        assert check_out(alice, plan="professional").status_code == 201
        [customer] = [each for each in stripe.book.customers.values() if not each.get("deleted")]
        assert customer_of(alice).stripe_id == customer["id"]
        assert [each["customer"] for each in open_sessions(stripe)][-1] == customer["id"]

    @pytest.mark.parametrize("lose", ["delete_customer", "lose_everything"])
    def test_without_the_customer_at_stripe_there_is_no_portal_until_the_next_checkout(
        self, stripe, alice, lose
    ):
        check_out(alice)
        globals()[lose](stripe)
        assert_refused(alice.api.post("/payments/portal"), 409, "no_billing_customer")
        assert customer_of(alice).stripe_id is None
        assert check_out(alice).status_code == 201
        assert alice.api.post("/payments/portal").status_code == 201

    def test_a_wrong_key_is_ours_to_mend(self, stripe, alice, settings):
        settings.STRIPE_SECRET_KEY = "sk_test_wrong"
        answer = check_out(alice)
        assert_refused(answer, 502, "payment_provider_error")
        assert "sk_test" not in answer.content.decode()

    def test_the_catalogue_is_not_at_stripe_yet(self, stripe, alice):
        stripe.book.prices.clear()
        assert_refused(check_out(alice), 502, "payment_provider_error")
        assert "starter_monthly" in check_out(alice).json()["detail"]

    def test_billing_is_not_configured(self, alice, settings):
        settings.STRIPE_SECRET_KEY = ""
        assert_refused(check_out(alice), 503, "billing_not_configured")

    def test_no_row_is_locked_meanwhile(self, stripe, alice):
        """While one request waits for Stripe, the organization's other requests go on."""
        stripe.standin.fault = once("delay", 1.5)
        thread = threading.Thread(target=in_thread, args=(check_out, alice))
        thread.start()
        while not customer_exists(alice):
            time.sleep(0.01)
        with org_context(alice.organization_id), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '300ms'")
            cursor.execute("SELECT 1 FROM billing_customer FOR UPDATE")
        assert thread.is_alive(), "it waited for Stripe: the test proves nothing otherwise"
        thread.join()


def delete_customer(stripe):
    [customer] = stripe.book.customers
    stripe.book.customers[customer] = {"id": customer, "object": "customer", "deleted": True}


def lose_everything(stripe):
    """As if test keys had been replaced by live ones."""
    stripe.book.customers.clear()
    stripe.book.checkout_sessions.clear()
    stripe.book.answers.clear()


def customer_exists(person):
    from billing.models import Customer

    with org_context(person.organization_id):
        return Customer.objects.exists()
