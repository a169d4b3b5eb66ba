"""Idempotency-Key."""

import threading

import pytest
import stripe

from billing.standin.faults import once
from tests.billing.standin.conftest import API_KEY, library

KEY = {"idempotency_key": "checkout-7"}


class TestSameKey:
    def test_the_first_answer_is_given_again(self, standin, client):
        first = client.customers.create({"name": "Acme"}, KEY)
        again = client.customers.create({"name": "Acme"}, KEY)
        assert again.id == first.id
        assert again.last_response.headers["Idempotent-Replayed"] == "true"
        assert "Idempotent-Replayed" not in first.last_response.headers
        assert len(standin.book.customers) == 1
        assert len(standin.events("customer.created")) == 1

    def test_other_parameters_are_refused(self, client):
        client.customers.create({"name": "Acme"}, KEY)
        with pytest.raises(stripe.IdempotencyError):
            client.customers.create({"name": "Globex"}, KEY)

    def test_another_address_is_refused(self, client):
        client.customers.create({"name": "Acme"}, KEY)
        with pytest.raises(stripe.IdempotencyError):
            client.products.create({"name": "Acme"}, KEY)

    def test_a_refused_call_does_not_use_the_key_up(self, unchecked):
        with pytest.raises(stripe.InvalidRequestError):
            unchecked.customers.create({"colour": "red"}, KEY)
        assert unchecked.customers.create({"name": "Acme"}, KEY).name == "Acme"

    def test_a_declined_card_is_declined_again(self, standin, client, customer):
        client.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
        invoice = client.invoices.create({"customer": customer.id})
        for _ in range(2):
            with pytest.raises(stripe.CardError):
                client.invoices.pay(invoice.id, {"payment_method": "pm_card_chargeCustomerFail"}, KEY)
        assert len(standin.events("invoice.payment_failed")) == 1

    def test_a_failure_of_the_server_is_repeated(self, standin, client):
        standin.fault = once("status", 500)
        for _ in range(2):
            with pytest.raises(stripe.APIError):
                client.customers.create({"name": "Acme"}, KEY)
        assert client.customers.create({"name": "Acme"}, {"idempotency_key": "another"}).name == "Acme"
        assert len(standin.book.customers) == 1

    def test_only_posts_have_keys(self, standin, http, customer):
        for _ in range(2):
            answer = http.get(
                f"{standin.url}/v1/customers/{customer.id}",
                auth=(API_KEY, ""),
                headers={"Idempotency-Key": "k"},
            )
            assert "Idempotent-Replayed" not in answer.headers

    def test_the_event_names_its_request(self, standin, client):
        made = client.customers.create({"name": "Acme"}, KEY)
        (event,) = standin.events("customer.created")
        assert event["request"] == {"id": made.last_response.request_id, "idempotency_key": "checkout-7"}


def test_a_key_in_flight_is_a_conflict(standin):
    """The second request comes while the first is still at work, and is answered after it when tried again."""
    standin.fault = once("delay", 1.0)
    made = []

    def first():
        with library(standin) as client:
            made.append(client.v1.customers.create({"name": "Acme"}, KEY).id)

    thread = threading.Thread(target=first)
    thread.start()
    while not standin.api.answers.in_flight:
        pass
    with library(standin) as client, pytest.raises(stripe.StripeError) as refused:
        client.v1.customers.create({"name": "Acme"}, KEY)
    assert refused.value.http_status == 409
    assert refused.value.json_body["error"]["code"] == "idempotency_key_in_use"
    thread.join()
    with library(standin) as client:
        assert client.v1.customers.create({"name": "Acme"}, KEY).id == made[0]


def test_many_at_once_make_one_customer(standin):
    made = set()

    def create():
        with library(standin, retries=5) as client:
            made.add(client.v1.customers.create({"name": "Acme"}, KEY).id)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(standin.book.customers) == 1
