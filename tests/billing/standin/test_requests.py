"""What every endpoint has in common: keys, parameters, errors, pages of lists, faults."""

import time

import pytest
import stripe

from billing.standin.faults import always, once
from billing.standin.server import StandIn
from tests.billing.standin.conftest import API_KEY, library


class TestKey:
    def test_a_wrong_key_is_refused(self, standin):
        stranger = library(standin, api_key="sk_test_of_someone_else")
        with stranger as client, pytest.raises(stripe.AuthenticationError):
            client.v1.customers.list()

    @pytest.mark.parametrize(
        "header", [{"auth": (API_KEY, "")}, {"headers": {"Authorization": f"Bearer {API_KEY}"}}]
    )
    def test_basic_and_bearer_are_both_right(self, standin, http, header):
        answer = http.get(f"{standin.url}/v1/customers", **header)
        assert answer.status_code == 200
        assert answer.headers["Request-Id"].startswith("req_")

    def test_no_key_is_refused(self, standin, http):
        assert http.get(f"{standin.url}/v1/customers").status_code == 401


class TestParameters:
    @pytest.mark.parametrize(
        ("given", "param"),
        [({"colour": "red"}, "colour"), ({"address": {"planet": "Mars"}}, "address[planet]")],
    )
    def test_an_unknown_one_is_refused(self, unchecked, given, param):
        with pytest.raises(stripe.InvalidRequestError, match="Received unknown parameter") as refused:
            unchecked.customers.create(given)
        assert (refused.value.code, refused.value.param) == ("parameter_unknown", param)

    def test_a_missing_one_is_refused(self, unchecked):
        with pytest.raises(stripe.InvalidRequestError, match="Missing required param") as refused:
            unchecked.products.create({})
        assert (refused.value.code, refused.value.param) == ("parameter_missing", "name")

    @pytest.mark.parametrize(
        ("given", "param"),
        [
            ({"mode": "subscribe"}, "mode"),
            ({"success_url": "javascript:alert(1)"}, "success_url"),
            ({"line_items": [{"price": "price_1", "quantity": "two"}]}, "line_items[0][quantity]"),
            ({"allow_promotion_codes": "yes"}, "allow_promotion_codes"),
            ({"line_items": "price_1"}, "line_items"),
            ({"subscription_data": "14"}, "subscription_data"),
            ({"customer": {"id": "cus_1"}}, "customer"),
        ],
    )
    def test_a_wrong_type_is_refused(self, unchecked, given, param):
        right = {
            "mode": "subscription",
            "success_url": "https://a.test/",
            "line_items": [{"price": "price_1"}],
        }
        with pytest.raises(stripe.InvalidRequestError) as refused:
            unchecked.checkout.sessions.create(right | given)
        assert refused.value.param == param

    def test_an_address_that_is_both_text_and_hash_is_refused(self, standin, http):
        answer = http.post(
            f"{standin.url}/v1/customers", auth=(API_KEY, ""), data={"address": "a", "address[city]": "b"}
        )
        assert answer.status_code == 400

    def test_only_an_id_can_be_expanded(self, client, customer):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            client.customers.retrieve(customer.id, {"expand": ["email"]})


class TestUnknown:
    def test_an_unknown_id_is_404(self, client):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.subscriptions.retrieve("sub_nothing")
        assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")

    def test_an_unknown_address_is_404(self, standin, http):
        answer = http.get(f"{standin.url}/v1/nothing", auth=(API_KEY, ""))
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "invalid_request_error")


class TestLists:
    def test_pages_follow_one_another(self, client):
        made = [client.customers.create({"name": str(number)}).id for number in range(5)]
        first = client.customers.list({"limit": 2})
        assert ([row.id for row in first.data], first.has_more) == (made[:2:-1], True)
        assert [row.id for row in first.auto_paging_iter()] == made[::-1]
        before = client.customers.list({"limit": 2, "ending_before": made[0]})
        assert ([row.id for row in before.data], before.has_more) == (made[2:0:-1], True)

    @pytest.mark.parametrize("given", [{"limit": 0}, {"limit": 101}, {"starting_after": "cus_nothing"}])
    def test_a_wrong_page_is_refused(self, client, given):
        with pytest.raises(stripe.InvalidRequestError):
            client.customers.list(given)


class TestFaults:
    def test_it_fails_once(self, standin, client):
        standin.fault = once("status", 500)
        with pytest.raises(stripe.APIError):
            client.customers.create({"name": "Acme"})
        assert client.customers.create({"name": "Acme"}).id in standin.book.customers
        assert len(standin.book.customers) == 1

    def test_it_fails_always_and_only_there(self, standin, client):
        standin.fault = lambda method, path: ("status", 429) if path == "/v1/customers" else None
        for _ in range(2):
            with pytest.raises(stripe.RateLimitError):
                client.customers.list()
        assert client.products.list().data == []

    def test_it_is_late(self, standin, client):
        standin.fault = always("delay", 0.2)
        began = time.monotonic()
        client.customers.list()
        assert time.monotonic() - began >= 0.2

    def test_a_dropped_answer_leaves_the_work_done(self, standin, client):
        standin.fault = once("drop", path="/v1/customers")
        with pytest.raises(stripe.APIConnectionError):
            client.customers.create({"name": "Acme"})
        assert [row["name"] for row in standin.book.customers.values()] == ["Acme"]

    def test_the_librarys_own_retry_makes_one_customer(self, standin):
        standin.fault = once("drop")
        with library(standin, retries=2) as client:
            client.v1.customers.create({"name": "Acme"})
        assert len(standin.book.customers) == 1
        assert len({key for *_, key in standin.requests}) == 1


def test_requests_are_kept(standin, client):
    client.customers.create({"metadata": {"org_id": "7"}}, {"idempotency_key": "key-1"})
    assert standin.requests == [("POST", "/v1/customers", {"metadata": {"org_id": "7"}}, "key-1")]


def test_it_serves_this_machine_only():
    with pytest.raises(ValueError, match="not a loopback address"):
        StandIn(host="0.0.0.0")
