"""/v1/subscriptions"""

from billing.standin import subscribing
from billing.standin.book import Book, trial_end
from billing.standin.changes import assign, merge_metadata
from billing.standin.endpoints.checkout import TRIAL_SETTINGS
from billing.standin.endpoints.payment_methods import usable
from billing.standin.errors import StripeFailure, missing
from billing.standin.listing import PAGE, page
from billing.standin.parameters import Kind, Required
from billing.standin.routes import endpoint
from billing.standin.state import Json
from billing.standin.subscribing import ENDED, UPDATED, Line

PRORATION = ("always_invoice", "create_prorations", "none")
BEHAVIOR = ("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
FIELDS = {
    "cancel_at_period_end": Kind.BOOLEAN,
    "collection_method": ("charge_automatically",),
    "default_payment_method": Kind.TEXT,
    "description": Kind.TEXT,
    "metadata": Kind.MAP,
    "off_session": Kind.BOOLEAN,
    "payment_behavior": BEHAVIOR,
    "proration_behavior": PRORATION,
    "trial_settings": TRIAL_SETTINGS,
}
NEW_ITEM = {"price": Required(Kind.TEXT), "quantity": Kind.INTEGER, "metadata": Kind.MAP}
ITEM = {"id": Kind.TEXT, "price": Kind.TEXT, "quantity": Kind.INTEGER, "metadata": Kind.MAP}
STATUSES = (
    "active",
    "all",
    "canceled",
    "ended",
    "incomplete",
    "incomplete_expired",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
)


@endpoint(
    "POST",
    "/v1/subscriptions",
    {
        **FIELDS,
        "customer": Required(Kind.TEXT),
        "items": Required([NEW_ITEM]),
        "trial_end": Kind.INTEGER,
        "trial_period_days": Kind.INTEGER,
    },
)
def create(book: Book, params: Json) -> Json:
    customer = book.customer(params["customer"], param="customer")
    lines = [line(book, given, index) for index, given in enumerate(params["items"])]
    card_id = chosen_card(book, params)
    until = trial_end(params, now=book.now())
    later = params.get("payment_behavior") == "default_incomplete"
    if not (until or later or card_id or customer["invoice_settings"]["default_payment_method"]):
        raise StripeFailure(
            "This customer has no attached payment source or default payment method. Please consider adding "
            "a default payment method.",
            code="resource_missing",
        )
    subscription = book.subscribe(
        customer["id"], lines, params=params, trial_end=until, card_id=card_id, charged=not later
    )
    if params.get("cancel_at_period_end"):
        book.cancel(subscription["id"], at_period_end=True)
    return subscription


def line(book: Book, given: Json, index: int) -> Line:
    price = book.subscription_price(given["price"], param=f"items[{index}][price]")
    return Line(price, given.get("quantity", 1), given.get("metadata", {}))


def chosen_card(book: Book, params: Json) -> str | None:
    name = params.get("default_payment_method")
    return str(usable(book, name, param="default_payment_method")["id"]) if name else None


@endpoint("GET", "/v1/subscriptions/{subscription}")
def retrieve(book: Book, params: Json, subscription: str) -> Json:
    return book.find("subscriptions", subscription)


@endpoint(
    "POST",
    "/v1/subscriptions/{subscription}",
    {**FIELDS, "items": [ITEM], "trial_end": Kind.TEXT},
)
def update(book: Book, params: Json, subscription: str) -> Json:
    """One event for all that changes; a new billing interval and the end of a trial are billed after it."""
    found = book.find("subscriptions", subscription)
    if set(params) - {"expand", "metadata"}:
        subscribing.refuse_ended(found)
    changes = [item_change(book, found, given, index) for index, given in enumerate(params.get("items", []))]
    card_id = chosen_card(book, params)
    with book.updating(found, UPDATED):
        assign(found, params, ("description", "trial_settings", "collection_method"))
        merge_metadata(found, params)
        found["default_payment_method"] = card_id or found["default_payment_method"]
        if "cancel_at_period_end" in params:
            subscribing.set_cancel_at_period_end(book, found, cancels=params["cancel_at_period_end"])
        billed = [subscribing.change_price(book, found, item, **change) for item, change in changes]
    if any(billed):
        subscribing.bill_now(book, found, succeeds=book.card_of(found)[0])
    set_trial_end(book, found, params.get("trial_end"))
    return found


def item_change(book: Book, subscription: Json, given: Json, index: int) -> tuple[Json, Json]:
    items = {item["id"]: item for item in subscription["items"]["data"]}
    if given.get("id") not in items:
        raise missing("subscription item", str(given.get("id")), param=f"items[{index}][id]")
    item = items[given["id"]]
    price = item["price"]
    if "price" in given:
        price = book.subscription_price(given["price"], param=f"items[{index}][price]")
    return item, {"price": price, "quantity": given.get("quantity", item["quantity"])}


def set_trial_end(book: Book, subscription: Json, moment: str | None) -> None:
    if moment == "now":
        if subscription["status"] == "trialing":
            book.end_trial(subscription["id"])
    elif moment is not None:
        if not moment.isdigit():
            raise StripeFailure(f"Invalid timestamp: {moment}", param="trial_end")
        subscribing.move_trial_end(book, subscription, int(moment))


@endpoint(
    "DELETE",
    "/v1/subscriptions/{subscription}",
    {
        "cancellation_details": {"comment": Kind.TEXT, "feedback": Kind.TEXT},
        "invoice_now": Kind.BOOLEAN,
        "prorate": Kind.BOOLEAN,
    },
)
def cancel(book: Book, params: Json, subscription: str) -> Json:
    """Stripe no longer finds a canceled subscription to cancel it again."""
    found = book.find("subscriptions", subscription)
    if found["status"] in ENDED:
        raise missing("subscription", subscription)
    found["cancellation_details"] |= params.get("cancellation_details", {})
    return book.cancel(subscription)


@endpoint(
    "GET",
    "/v1/subscriptions",
    {**PAGE, "customer": Kind.TEXT, "price": Kind.TEXT, "status": STATUSES},
)
def index(book: Book, params: Json) -> Json:
    rows = [
        row
        for row in book.subscriptions.values()
        if params.get("customer") in (None, row["customer"])
        and has_status(row, params.get("status"))
        and params.get("price") in (None, *(item["price"]["id"] for item in row["items"]["data"]))
    ]
    return page(rows, params, url="/v1/subscriptions", noun="subscription")


def has_status(subscription: Json, wanted: str | None) -> bool:
    """Without a status Stripe lists all that are not canceled."""
    status = subscription["status"]
    if wanted == "all":
        return True
    if wanted == "ended":
        return status in ENDED
    return bool(status == wanted if wanted else status != "canceled")
