"""/v1/invoices and /v1/invoiceitems: reading, and as much writing as Stripe's command-line tool needs."""

from billing.standin import invoicing
from billing.standin.book import Book
from billing.standin.endpoints.payment_methods import usable
from billing.standin.errors import StripeFailure, card_declined
from billing.standin.listing import PAGE, page
from billing.standin.parameters import Kind, Required
from billing.standin.routes import endpoint
from billing.standin.shapes import invoices as shapes
from billing.standin.state import Json
from billing.standin.subscribing import UPDATED

STATUSES = ("draft", "open", "paid", "uncollectible", "void")


def subscription_of(invoice: Json) -> str | None:
    return invoice["parent"]["subscription_details"]["subscription"] if invoice["parent"] else None


@endpoint(
    "GET",
    "/v1/invoices",
    {**PAGE, "customer": Kind.TEXT, "subscription": Kind.TEXT, "status": STATUSES},
)
def index(book: Book, params: Json) -> Json:
    rows = [
        row
        for row in book.invoices.values()
        if params.get("customer") in (None, row["customer"])
        and params.get("status") in (None, row["status"])
        and params.get("subscription") in (None, subscription_of(row))
    ]
    return page(rows, params, url="/v1/invoices", noun="invoice")


@endpoint("GET", "/v1/invoices/{invoice}")
def retrieve(book: Book, params: Json, invoice: str) -> Json:
    return book.find("invoices", invoice)


@endpoint(
    "POST",
    "/v1/invoiceitems",
    {
        "amount": Required(Kind.INTEGER),
        "currency": Required(Kind.TEXT),
        "customer": Required(Kind.TEXT),
        "description": Kind.TEXT,
        "metadata": Kind.MAP,
    },
)
def create_item(book: Book, params: Json) -> Json:
    customer = book.customer(params["customer"], param="customer")
    item = shapes.invoice_item(params, customer_id=customer["id"], now=book.now())
    return book.add("invoice_items", item, "invoiceitem.created")


@endpoint(
    "POST",
    "/v1/invoices",
    {
        "auto_advance": Kind.BOOLEAN,
        "currency": Kind.TEXT,
        "customer": Required(Kind.TEXT),
        "description": Kind.TEXT,
        "metadata": Kind.MAP,
        "pending_invoice_items_behavior": ("include", "exclude"),
    },
)
def create(book: Book, params: Json) -> Json:
    customer = book.customer(params["customer"], param="customer")
    pending = pending_items(book, customer["id"], params)
    now = book.now()
    currency = params.get("currency") or (pending[0]["currency"] if pending else "usd")
    invoice = shapes.invoice(
        customer=customer, currency=currency, reason="manual", period=(now, now), now=now
    )
    for item in pending:
        item["invoice"] = invoice["id"]
    invoice["lines"]["data"] = [shapes.item_line(item, invoice_id=invoice["id"]) for item in pending]
    invoice |= {
        "auto_advance": params.get("auto_advance", False),
        "description": params.get("description"),
        "metadata": params.get("metadata", {}),
    }
    shapes.total_up(invoice)
    return book.add("invoices", invoice, "invoice.created")


def pending_items(book: Book, customer_id: str, params: Json) -> list[Json]:
    if params.get("pending_invoice_items_behavior") != "include":
        return []
    return [
        row
        for row in book.invoice_items.values()
        if row["customer"] == customer_id and row["invoice"] is None
    ]


@endpoint("POST", "/v1/invoices/{invoice}/finalize", {"auto_advance": Kind.BOOLEAN})
def finalize(book: Book, params: Json, invoice: str) -> Json:
    found = book.find("invoices", invoice)
    if found["status"] != "draft":
        raise StripeFailure("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    invoicing.finalize(book, found)
    return found


@endpoint("POST", "/v1/invoices/{invoice}/pay", {"payment_method": Kind.TEXT, "off_session": Kind.BOOLEAN})
def pay(book: Book, params: Json, invoice: str) -> Json:
    found = book.find("invoices", invoice)
    if found["status"] not in ("draft", "open"):
        raise StripeFailure(f"Invoice is already {found['status']}.", code="invoice_not_payable")
    card_id = params.get("payment_method")
    card = usable(book, card_id)["id"] if card_id else found["default_payment_method"]
    if found["status"] == "draft":
        invoicing.finalize(book, found)
    pays = invoicing.card_pays(book, customer=book.customer(found["customer"]), card_id=card)
    settle(book, found, pays=pays)
    if not pays:
        raise card_declined()
    return found


def settle(book: Book, invoice: Json, *, pays: bool) -> None:
    if not pays:
        invoicing.fail(book, invoice)
        return
    invoicing.pay(book, invoice)
    subscription = book.subscriptions.get(subscription_of(invoice) or "")
    if subscription and subscription["status"] in ("incomplete", "past_due"):
        with book.updating(subscription, UPDATED):
            subscription["status"] = "active"
