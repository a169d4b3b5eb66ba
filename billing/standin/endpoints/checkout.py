"""/v1/checkout/sessions"""

from billing.standin.book import Book
from billing.standin.endpoints.payment_methods import usable
from billing.standin.errors import StripeFailure, card_declined, missing
from billing.standin.expansion import line_items
from billing.standin.listing import PAGE, page
from billing.standin.parameters import Kind, Required
from billing.standin.routes import endpoint
from billing.standin.shapes import sessions as shapes
from billing.standin.shapes.customers import CARD_THAT_FAILS
from billing.standin.state import Json

MINUTE = 60
SOONEST, LATEST = 30 * MINUTE, 24 * 60 * MINUTE

TRIAL_SETTINGS = {
    "end_behavior": Required({"missing_payment_method": Required(("cancel", "create_invoice", "pause"))})
}
SUBSCRIPTION_DATA = {
    "billing_mode": {"type": Required(("classic", "flexible"))},
    "description": Kind.TEXT,
    "metadata": Kind.MAP,
    "trial_end": Kind.INTEGER,
    "trial_period_days": Kind.INTEGER,
    "trial_settings": TRIAL_SETTINGS,
}
SHIPPING = {"name": Kind.TEXT, "phone": Kind.TEXT, "address": Kind.MAP}
SESSION = {
    "allow_promotion_codes": Kind.BOOLEAN,
    "automatic_tax": {"enabled": Required(Kind.BOOLEAN)},
    "billing_address_collection": ("auto", "required"),
    "cancel_url": Kind.URL,
    "client_reference_id": Kind.TEXT,
    "customer": Kind.TEXT,
    "customer_email": Kind.TEXT,
    "customer_update": dict.fromkeys(("address", "name", "shipping"), ("auto", "never")),
    "expires_at": Kind.INTEGER,
    "line_items": Required([{"price": Required(Kind.TEXT), "quantity": Kind.INTEGER}]),
    "locale": Kind.TEXT,
    "metadata": Kind.MAP,
    "mode": Required(("subscription", "payment")),
    "payment_intent_data": {"shipping": SHIPPING, "metadata": Kind.MAP},
    "payment_method_collection": ("always", "if_required"),
    "payment_method_types": [Kind.TEXT],
    "submit_type": ("auto", "book", "donate", "pay", "subscribe"),
    "subscription_data": SUBSCRIPTION_DATA,
    "success_url": Required(Kind.URL),
    "tax_id_collection": {"enabled": Required(Kind.BOOLEAN)},
    "ui_mode": ("hosted_page",),
}


@endpoint("POST", "/v1/checkout/sessions", SESSION)
def create(book: Book, params: Json) -> Json:
    customer = customer_of(book, params)
    check(params, now=book.now())
    items = [item(book, params, index) for index in range(len(params["line_items"]))]
    session = shapes.checkout_session(params, customer=customer, items=items, url=book.url, now=book.now())
    book.line_items[session["id"]] = items
    book.session_data[session["id"]] = params.get("subscription_data", {})
    return book.add("checkout_sessions", session)


def customer_of(book: Book, params: Json) -> Json | None:
    if "customer" in params and "customer_email" in params:
        raise StripeFailure(
            "You may only specify one of these parameters: customer, customer_email.", param="customer"
        )
    return book.customer(params["customer"], param="customer") if "customer" in params else None


def check(params: Json, *, now: int) -> None:
    wait = params.get("expires_at", now + LATEST) - now
    if not SOONEST <= wait <= LATEST:
        raise StripeFailure(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.",
            param="expires_at",
        )
    data = params.get("subscription_data", {})
    if params["mode"] != "subscription" and data:
        raise StripeFailure(
            "You can not pass `subscription_data` in `payment` mode.", param="subscription_data"
        )
    if data.get("trial_period_days", 1) < 1:
        raise StripeFailure(
            "The minimum number of trial period days is 1.", param="subscription_data[trial_period_days]"
        )


def item(book: Book, params: Json, index: int) -> Json:
    given = params["line_items"][index]
    param = f"line_items[{index}][price]"
    if params["mode"] == "subscription":
        price = book.subscription_price(given["price"], param=param)
    elif given["price"] in book.prices:
        price = book.prices[given["price"]]
    else:
        raise missing("price", given["price"], param=param)
    name = book.products[price["product"]]["name"]
    return shapes.line_item(price, quantity=given.get("quantity", 1), name=name)


@endpoint("GET", "/v1/checkout/sessions/{session}")
def retrieve(book: Book, params: Json, session: str) -> Json:
    return book.session(session)


@endpoint("GET", "/v1/checkout/sessions/{session}/line_items", {"limit": Kind.INTEGER})
def items(book: Book, params: Json, session: str) -> Json:
    book.find("checkout_sessions", session)
    return line_items(book, session)


@endpoint(
    "GET",
    "/v1/checkout/sessions",
    {
        **PAGE,
        "customer": Kind.TEXT,
        "subscription": Kind.TEXT,
        "status": ("open", "complete", "expired"),
    },
)
def index(book: Book, params: Json) -> Json:
    same = {name: params[name] for name in ("customer", "subscription", "status") if name in params}
    sessions = [book.session(identifier) for identifier in list(book.checkout_sessions)]
    rows = [row for row in sessions if all(row[name] == wanted for name, wanted in same.items())]
    return page(rows, params, url="/v1/checkout/sessions", noun="checkout.session")


@endpoint("POST", "/v1/checkout/sessions/{session}/expire")
def expire(book: Book, params: Json, session: str) -> Json:
    return book.expire(session)


# What follows is not in Stripe's public description: its command-line tool calls it to complete a checkout.


@endpoint("GET", "/v1/payment_pages/{session}")
def retrieve_page(book: Book, params: Json, session: str) -> Json:
    found = book.session(session)
    return {"id": session, "object": "payment_page", "session_id": session, "livemode": found["livemode"]}


@endpoint(
    "POST",
    "/v1/payment_pages/{session}/confirm",
    {"expected_amount": Kind.INTEGER, "payment_method": Required(Kind.TEXT)},
)
def confirm_page(book: Book, params: Json, session: str) -> Json:
    found = book.open_session(session)
    card = usable(book, params["payment_method"])
    if params.get("expected_amount", found["amount_total"]) != found["amount_total"]:
        raise StripeFailure(
            "The amount has changed.", code="checkout_amount_mismatch", param="expected_amount"
        )
    if card["card"]["last4"] == CARD_THAT_FAILS:
        raise card_declined()
    return book.pay(session, email=card["billing_details"]["email"])
