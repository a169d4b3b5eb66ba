"""Customers, products and prices."""

import pytest
import stripe


class TestCustomers:
    def test_it_creates_reads_and_updates(self, client, customer):
        client.customers.update(
            customer.id, {"name": "Acme Ltd", "metadata": {"org_id": "", "plan": "starter"}}
        )
        found = client.customers.retrieve(customer.id)
        assert (found.email, found.name) == ("alice@acme.test", "Acme Ltd")
        assert found.metadata.to_dict() == {"plan": "starter"}

    def test_it_tells_what_was_before(self, client, customer, standin):
        client.customers.update(customer.id, {"name": "Acme Ltd", "metadata": {"plan": "starter"}})
        (event,) = standin.events("customer.updated")
        assert event["data"]["previous_attributes"] == {"name": "Acme", "metadata": {"plan": None}}
        assert event["data"]["object"]["name"] == "Acme Ltd"

    def test_no_change_sends_no_event(self, client, customer, standin):
        client.customers.update(customer.id, {"name": "Acme"})
        assert standin.events("customer.updated") == []

    def test_it_lists_by_email(self, client, customer):
        other = client.customers.create({"email": "charlie@globex.test"})
        assert [row.id for row in client.customers.list().data] == [other.id, customer.id]
        assert [row.id for row in client.customers.list({"email": "alice@acme.test"}).data] == [customer.id]

    def test_a_deleted_customer_can_only_be_fetched(self, client, customer, subscribed, standin):
        client.customers.delete(customer.id)
        assert client.customers.retrieve(customer.id).deleted
        assert client.customers.list().data == []
        assert standin.book.subscriptions[subscribed]["status"] == "canceled"
        with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
            client.billing_portal.sessions.create({"customer": customer.id})

    def test_a_card_comes_by_its_test_name(self, client):
        card = {
            "payment_method": "pm_card_visa",
            "invoice_settings": {"default_payment_method": "pm_card_visa"},
        }
        customer = client.customers.create(card)
        found = client.payment_methods.retrieve(customer.invoice_settings.default_payment_method)
        assert (found.customer, found.card.last4) == (customer.id, "4242")


class TestProducts:
    def test_the_id_may_be_ones_own(self, client):
        client.products.create({"id": "starter", "name": "Starter"})
        client.products.update("starter", {"name": "Starter plan", "active": False})
        assert client.products.retrieve("starter").name == "Starter plan"
        assert client.products.list({"active": True}).data == []
        assert [row.id for row in client.products.list({"ids": ["starter"]}).data] == ["starter"]

    def test_it_refuses_the_same_id_twice(self, client):
        client.products.create({"id": "starter", "name": "Starter"})
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.products.create({"id": "starter", "name": "Starter"})
        assert refused.value.code == "resource_already_exists"


class TestPrices:
    def test_it_is_found_by_lookup_key(self, client, price, yearly):
        found = client.prices.list({"lookup_keys": ["starter_monthly"], "expand": ["data.product"]})
        assert [row.id for row in found.data] == [price.id]
        assert found.data[0].product.name == "Starter"
        assert found.data[0].recurring.interval == "month"

    def test_it_filters(self, client, price, yearly):
        client.prices.update(price.id, {"active": False, "nickname": "old"})
        assert [row.id for row in client.prices.list({"product": "starter", "active": True}).data] == [
            yearly.id
        ]
        assert client.prices.retrieve(price.id).nickname == "old"

    def test_the_product_may_come_along(self, client):
        made = client.prices.create({"currency": "USD", "unit_amount": 5, "product_data": {"name": "Pro"}})
        assert client.products.retrieve(made.product).name == "Pro"
        assert (made.currency, made.type) == ("usd", "one_time")

    def test_a_lookup_key_belongs_to_one_price(self, client, price):
        again = {"currency": "usd", "unit_amount": 950, "product": "starter", "lookup_key": "starter_monthly"}
        with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
            client.prices.create(again)
        moved = client.prices.create({**again, "transfer_lookup_key": True})
        assert [row.id for row in client.prices.list({"lookup_keys": ["starter_monthly"]}).data] == [moved.id]
        assert client.prices.retrieve(price.id).lookup_key is None

    def test_it_refuses_an_unknown_product(self, client):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.prices.create({"currency": "usd", "unit_amount": 5, "product": "nothing"})
        assert (refused.value.code, refused.value.http_status) == ("resource_missing", 400)
