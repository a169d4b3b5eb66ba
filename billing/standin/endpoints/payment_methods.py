"""/v1/payment_methods: as much as Stripe's own command-line tool needs."""

from billing.standin.book import Book
from billing.standin.errors import missing
from billing.standin.parameters import Kind, Required
from billing.standin.routes import endpoint
from billing.standin.shapes import customers as shapes
from billing.standin.state import Json

# Stripe's names for test cards: https://docs.stripe.com/testing.
TEST_CARDS = {
    "pm_card_visa": shapes.CARD_THAT_PAYS,
    "tok_visa": shapes.CARD_THAT_PAYS,
    "pm_card_chargeCustomerFail": shapes.CARD_THAT_FAILS,
    "tok_chargeCustomerFail": shapes.CARD_THAT_FAILS,
}


def usable(book: Book, name: str, *, param: str = "payment_method") -> Json:
    """A card by its id, or a new one by a test card's name."""
    if name in TEST_CARDS:
        return book.add("payment_methods", shapes.card(last4=TEST_CARDS[name], now=book.now()))
    if name not in book.payment_methods:
        raise missing("PaymentMethod", name, param=param)
    return book.payment_methods[name]


BILLING_DETAILS = {"address": Kind.MAP, "email": Kind.TEXT, "name": Kind.TEXT, "phone": Kind.TEXT}


@endpoint(
    "POST",
    "/v1/payment_methods",
    {
        "type": Required(("card",)),
        "card": Required({"token": Required(Kind.TEXT)}),
        "billing_details": BILLING_DETAILS,
    },
)
def create(book: Book, params: Json) -> Json:
    card = usable(book, params["card"]["token"], param="card[token]")
    given = params.get("billing_details", {})
    if "address" in given:
        names = ("city", "country", "line1", "line2", "postal_code", "state")
        given["address"] = {name: given["address"].get(name) for name in names}
    card["billing_details"] |= given
    return card


@endpoint("GET", "/v1/payment_methods/{payment_method}")
def retrieve(book: Book, params: Json, payment_method: str) -> Json:
    return book.find("payment_methods", payment_method)


@endpoint("POST", "/v1/payment_methods/{payment_method}/attach", {"customer": Required(Kind.TEXT)})
def attach(book: Book, params: Json, payment_method: str) -> Json:
    book.customer(params["customer"], param="customer")
    return book.attach_card(params["customer"], card=usable(book, payment_method), default=False)
