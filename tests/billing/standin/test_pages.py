"""The hosted pages, as a browser without scripts uses them."""

import pytest


@pytest.fixture
def portal(client, customer):
    return client.billing_portal.sessions.create(
        {"customer": customer.id, "return_url": "https://shop.test/plans"}
    )


def press(http, url, **form):
    return http.post(url, data=form, allow_redirects=False)


class TestStart:
    def test_it_says_what_it_is_and_lists_customers(self, standin, http, customer, open_checkout):
        open_checkout()
        page = http.get(standin.url).text
        assert "This is not Stripe" in page
        assert f'href="/customers/{customer.id}"' in page
        assert 'href="/checkout/cs_test_' in page
        assert http.get(f"{standin.url}/customers/{customer.id}").status_code == 200

    def test_an_empty_one_says_so(self, standin, http):
        assert "No customer yet" in http.get(standin.url).text

    def test_there_is_a_stylesheet_and_nothing_inline(self, standin, http, portal, subscribed):
        assert http.get(f"{standin.url}/style.css").headers["Content-Type"].startswith("text/css")
        for url in (standin.url, portal.url):
            page = http.get(url).text
            assert "<script" not in page
            assert "style=" not in page

    @pytest.mark.parametrize(
        "path", ["/nothing", "/checkout/cs_nothing", "/portal/bps_nothing", "/invoices/in_nothing"]
    )
    def test_what_is_not_there_is_404(self, standin, http, path):
        assert http.get(standin.url + path).status_code == 404


class TestCheckout:
    def test_it_shows_the_plan_and_that_no_money_moves(self, http, open_checkout):
        page = http.get(open_checkout(subscription_data={"trial_period_days": 14}).url).text
        assert "Stripe stand-in:</strong> no real money" in page
        for text in (
            "Starter",
            "9.00 USD per month",
            "14 days",
            "alice@acme.test",
            "https://shop.test/plans",
        ):
            assert text in page

    def test_pay_leads_to_the_success_address(self, standin, http, open_checkout):
        session = open_checkout()
        answer = press(http, f"{session.url}/pay")
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"https://shop.test/done?session={session.id}"
        assert standin.book.checkout_sessions[session.id]["status"] == "complete"

    def test_a_card_that_fails_can_be_tried_again(self, standin, http, open_checkout):
        session = open_checkout()
        answer = http.post(f"{session.url}/decline")
        assert "Your card was declined" in answer.text
        assert "declined" not in http.get(session.url).text
        assert standin.book.checkout_sessions[session.id]["status"] == "open"

    def test_it_asks_for_an_email_if_it_knows_none(self, standin, http, client, price):
        session = client.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": price.id, "quantity": 1}],
                "success_url": "https://shop.test/",
            }
        )
        assert 'type="email"' in http.get(session.url).text
        press(http, f"{session.url}/pay", email="bob@acme.test")
        assert [row["email"] for row in standin.book.customers.values()] == ["bob@acme.test"]

    @pytest.mark.parametrize("status", ["complete", "expired"])
    def test_a_closed_one_says_so(self, standin, http, open_checkout, status):
        session = open_checkout()
        {"complete": standin.book.pay, "expired": standin.book.expire}[status](session.id)
        assert f"Checkout {status}" in http.get(session.url).text
        assert press(http, f"{session.url}/pay").status_code == 400


class TestPortal:
    def test_it_shows_what_the_customer_has(self, http, portal, subscribed, yearly):
        page = http.get(portal.url).text
        for text in (
            "Starter",
            "active",
            "Renews on",
            "Visa ending in 4242",
            "9.00 USD, paid",
            "90.00 USD per year",
        ):
            assert text in page
        assert 'href="https://shop.test/plans"' in page
        assert "Time machine (stand-in only)" in page

    @pytest.mark.parametrize(
        ("actions", "status"),
        [
            (["cancel_at_period_end"], "active"),
            (["cancel_at_period_end", "resume"], "active"),
            (["cancel_at_period_end", "renew"], "canceled"),
            (["cancel"], "canceled"),
            (["renew"], "active"),
            (["renew_fails"], "past_due"),
            (["renew_fails", "retry"], "active"),
            (["renew_fails", "finish_dunning"], "canceled"),
        ],
    )
    def test_each_button_does_what_it_says(self, standin, http, portal, subscribed, actions, status):
        for action in actions:
            assert f'value="{action}"' in http.get(portal.url).text
            answer = press(http, portal.url, action=action, subscription=subscribed)
            assert (answer.status_code, answer.headers["Location"]) == (303, f"/portal/{portal.id}")
        assert standin.book.subscriptions[subscribed]["status"] == status
        assert status.replace("_", " ") in http.get(portal.url).text

    @pytest.mark.parametrize(("action", "status"), [("trial_will_end", "trialing"), ("end_trial", "active")])
    def test_a_trial_can_be_moved(self, standin, http, portal, on_trial, action, status):
        assert f'value="{action}"' in http.get(portal.url).text
        press(http, portal.url, action=action, subscription=on_trial)
        assert standin.book.subscriptions[on_trial]["status"] == status

    def test_another_price(self, standin, http, portal, subscribed, yearly):
        press(http, portal.url, action="change_price", subscription=subscribed, price=yearly.id)
        item = standin.book.subscriptions[subscribed]["items"]["data"][0]
        assert item["price"]["lookup_key"] == "starter_yearly"

    def test_another_card(self, standin, http, portal, customer):
        press(http, portal.url, action="update_card")
        assert "Visa ending in 4242" in http.get(portal.url).text

    @pytest.mark.parametrize(
        "form", [{"action": "retry"}, {"action": "nothing"}, {}, {"action": "change_price"}]
    )
    def test_a_refusal_is_shown(self, standin, http, portal, subscribed, form):
        answer = http.post(portal.url, data={"subscription": subscribed, **form})
        assert answer.status_code == 200
        assert 'role="alert"' in answer.text

    def test_another_customers_subscription_is_out_of_reach(self, standin, http, client, subscribed):
        charlie = client.customers.create({"name": "Globex"})
        portal = client.billing_portal.sessions.create({"customer": charlie.id})
        press(http, portal.url, action="cancel", subscription=subscribed)
        assert standin.book.subscriptions[subscribed]["status"] == "active"

    def test_an_invoice_has_a_page(self, standin, http, subscribed):
        (invoice,) = standin.book.invoices.values()
        page = http.get(invoice["hosted_invoice_url"]).text
        assert invoice["number"] in page
        assert "1 × Starter" in page


def test_everything_is_escaped(standin, http, client, open_checkout, subscribed, customer):
    bad = "<script>alert('x')</script>"
    client.customers.update(customer.id, {"name": bad, "email": bad})
    client.products.update("starter", {"name": bad})
    standin.book.renew(subscribed)
    session = open_checkout(cancel_url='https://a.test/"><script>')
    portal = client.billing_portal.sessions.create(
        {"customer": customer.id, "return_url": 'https://a.test/"><script>'}
    )
    invoice = list(standin.book.invoices.values())[-1]
    for url in (
        standin.url,
        session.url,
        portal.url,
        f"{portal.url}?notice={bad}",
        invoice["hosted_invoice_url"],
    ):
        page = http.get(url)
        assert page.status_code == 200
        assert "<script" not in page.text
