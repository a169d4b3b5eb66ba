"""The checker itself: right calls pass, wrong ones are refused before they leave."""

import json

import pytest
import stripe

from billing.standin.server import API_KEY, StandIn
from tests.billing.contract import ContractClient, ContractViolation, check_request, find_operation

SESSIONS = "https://api.stripe.com/v1/checkout/sessions"
CHECKOUT = (
    "mode=subscription&line_items[0][price]=price_1&line_items[0][quantity]=2&success_url=https://a.test/"
    "&subscription_data[trial_period_days]=14&subscription_data[metadata][org_id]=7&allow_promotion_codes=true"
)
PRICE = {
    "id": "price_1",
    "object": "price",
    "active": True,
    "billing_scheme": "per_unit",
    "created": 1,
    "currency": "usd",
    "livemode": False,
    "lookup_key": None,
    "metadata": {},
    "product": "prod_1",
    "type": "recurring",
}


class TestCalls:
    @pytest.mark.parametrize(
        ("method", "url", "form"),
        [
            ("post", SESSIONS, CHECKOUT),
            ("post", SESSIONS, CHECKOUT.encode()),
            ("get", "https://api.stripe.com/v1/prices?lookup_keys[0]=a&lookup_keys[1]=b&active=true", None),
            ("get", "https://api.stripe.com/v1/events?created[gte]=5&types[0]=invoice.paid&limit=100", None),
            ("post", "https://api.stripe.com/v1/subscriptions/sub_1", "trial_end=now&metadata[a]="),
            ("post", "https://api.stripe.com/v1/customers", "metadata=&email=a%40b.test"),
            ("delete", "https://api.stripe.com/v1/subscriptions/sub_1?prorate=false", None),
        ],
    )
    def test_a_right_call_passes(self, method, url, form):
        check_request(method, url, form)

    @pytest.mark.parametrize(
        ("form", "named"),
        [
            (f"{CHECKOUT}&colour=red", "colour"),
            (f"{CHECKOUT}&subscription_data[colour]=red", "colour"),
            ("mode=subscribe&success_url=https://a.test/", "subscribe"),
            (f"{CHECKOUT}&subscription_data[coupon]=half", "coupon"),
            ("mode=subscription&line_items[0][quantity]=two", "two"),
            ("mode=subscription&line_items=price_1", "price_1"),
            (f"{CHECKOUT}&allow_promotion_codes=yes", "yes"),
        ],
        ids=["unknown", "unknown inside", "enum", "removed", "integer", "list", "boolean"],
    )
    def test_it_refuses_a_wrong_parameter(self, form, named):
        with pytest.raises(ContractViolation, match=f"POST /v1/checkout/sessions: .*{named}"):
            check_request("post", SESSIONS, form)

    def test_it_refuses_a_missing_parameter(self):
        with pytest.raises(ContractViolation, match="currency"):
            check_request("post", "https://api.stripe.com/v1/prices", "unit_amount=900")

    def test_it_refuses_an_unknown_query(self):
        with pytest.raises(ContractViolation, match=r"GET /v1/prices: .*lookup_key"):
            check_request("get", "https://api.stripe.com/v1/prices?lookup_key=a")

    @pytest.mark.parametrize(
        ("method", "path"),
        [("get", "/v1/nothing"), ("delete", "/v1/prices/price_1"), ("get", "/v1/prices/a/b")],
    )
    def test_it_refuses_an_unknown_address(self, method, path):
        with pytest.raises(ContractViolation, match="no such address"):
            check_request(method, f"https://api.stripe.com{path}")


class TestAnswers:
    def test_a_right_answer_passes(self):
        find_operation("get", "/v1/prices/price_1").check_answer(PRICE)

    @pytest.mark.parametrize(
        "wrong",
        [{"active": "yes"}, {"type": "monthly"}, {"product": None}, {"created": None}, {"currency": 5}],
    )
    def test_it_refuses_a_wrong_field(self, wrong):
        with pytest.raises(ContractViolation, match=next(iter(wrong))):
            find_operation("get", "/v1/prices/price_1").check_answer(PRICE | wrong)

    def test_it_refuses_a_missing_field(self):
        answer = json.loads(json.dumps(PRICE))
        del answer["billing_scheme"]
        with pytest.raises(ContractViolation, match="billing_scheme"):
            find_operation("get", "/v1/prices/price_1").check_answer(answer)

    def test_it_looks_into_lists(self):
        answer = {
            "object": "list",
            "data": [PRICE | {"active": None}],
            "has_more": False,
            "url": "/v1/prices",
        }
        with pytest.raises(ContractViolation, match=r"data\.0\.active"):
            find_operation("get", "/v1/prices").check_answer(answer)


class TestClient:
    """The library with the checker in it, talking to the stand-in."""

    @pytest.fixture
    def standin(self):
        with StandIn() as standin:
            yield standin

    @pytest.fixture
    def client(self, standin):
        http_client = ContractClient()
        yield stripe.StripeClient(API_KEY, base_addresses={"api": standin.url}, http_client=http_client).v1
        http_client.close()

    def test_a_wrong_call_does_not_leave(self, standin, client):
        with pytest.raises(ContractViolation, match="colour"):
            client.customers.create({"colour": "red"})
        assert standin.requests == []

    def test_a_wrong_answer_is_refused(self, standin, client):
        product = client.products.create({"name": "Starter"})
        standin.book.products[product.id]["active"] = "yes"
        with pytest.raises(ContractViolation, match="active"):
            client.products.retrieve(product.id)

    def test_a_refusal_is_left_to_the_library(self, client):
        with pytest.raises(stripe.InvalidRequestError):
            client.products.retrieve("nothing")
