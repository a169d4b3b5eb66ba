"""/v1/customers"""

from billing.standin.book import Book
from billing.standin.changes import assign, merge_metadata
from billing.standin.endpoints.payment_methods import usable
from billing.standin.listing import PAGE, page
from billing.standin.parameters import Kind
from billing.standin.routes import endpoint
from billing.standin.shapes import customers as shapes
from billing.standin.state import Json

ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), Kind.TEXT)
FIELDS = {
    "address": ADDRESS,
    "description": Kind.TEXT,
    "email": Kind.TEXT,
    "invoice_settings": {"default_payment_method": Kind.TEXT},
    "metadata": Kind.MAP,
    "name": Kind.TEXT,
    "phone": Kind.TEXT,
    "preferred_locales": [Kind.TEXT],
    "tax_exempt": ("none", "exempt", "reverse"),
}


@endpoint("POST", "/v1/customers", {**FIELDS, "payment_method": Kind.TEXT})
def create(book: Book, params: Json) -> Json:
    wanted = params.get("payment_method")
    card = usable(book, wanted) if wanted else None
    params["address"] = full_address(params.get("address"))
    customer = book.add("customers", shapes.customer(params, now=book.now()), "customer.created")
    if card:
        default = params.get("invoice_settings", {}).get("default_payment_method") == wanted
        book.attach_card(customer["id"], card=card, default=default)
    return customer


def full_address(given: Json | None) -> Json | None:
    return {name: given.get(name) or None for name in ADDRESS} if given else None


@endpoint("GET", "/v1/customers/{customer}")
def retrieve(book: Book, params: Json, customer: str) -> Json:
    return book.find("customers", customer)


@endpoint("POST", "/v1/customers/{customer}", FIELDS)
def update(book: Book, params: Json, customer: str) -> Json:
    found = book.customer(customer)
    chosen = params.get("invoice_settings", {}).get("default_payment_method")
    if chosen:
        book.find("payment_methods", chosen, param="invoice_settings[default_payment_method]")
    if "address" in params:
        params["address"] = full_address(params["address"])
    with book.updating(found, "customer.updated"):
        assign(
            found,
            params,
            ("address", "description", "email", "name", "phone", "preferred_locales", "tax_exempt"),
        )
        merge_metadata(found, params)
        if chosen is not None:
            found["invoice_settings"]["default_payment_method"] = chosen or None
    return found


@endpoint("DELETE", "/v1/customers/{customer}")
def delete(book: Book, params: Json, customer: str) -> Json:
    """As at Stripe, the customer's subscriptions end at once."""
    found = book.customer(customer)
    for subscription in book.subscriptions_of(customer):
        if subscription["status"] != "canceled":
            book.cancel(subscription["id"])
    book.emit("customer.deleted", found)
    book.customers[customer] = {"id": customer, "object": "customer", "deleted": True}
    return book.customers[customer]


@endpoint("GET", "/v1/customers", {**PAGE, "email": Kind.TEXT})
def index(book: Book, params: Json) -> Json:
    email = params.get("email")
    rows = [
        row
        for row in book.customers.values()
        if not row.get("deleted") and (email is None or row["email"] == email)
    ]
    return page(rows, params, url="/v1/customers", noun="customer")
