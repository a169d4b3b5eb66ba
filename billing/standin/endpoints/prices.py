"""/v1/prices"""

from billing.standin.book import Book
from billing.standin.changes import assign, merge_metadata
from billing.standin.errors import StripeFailure
from billing.standin.listing import PAGE, page
from billing.standin.parameters import Kind, Required
from billing.standin.routes import endpoint
from billing.standin.shapes import catalogue as shapes
from billing.standin.state import Json

FIELDS = {
    "active": Kind.BOOLEAN,
    "lookup_key": Kind.TEXT,
    "metadata": Kind.MAP,
    "nickname": Kind.TEXT,
    "tax_behavior": ("inclusive", "exclusive", "unspecified"),
    "transfer_lookup_key": Kind.BOOLEAN,
}
RECURRING = {
    "interval": Required(("day", "week", "month", "year")),
    "interval_count": Kind.INTEGER,
    "usage_type": ("licensed",),
}
PRODUCT_DATA = {
    "active": Kind.BOOLEAN,
    "id": Kind.TEXT,
    "metadata": Kind.MAP,
    "name": Required(Kind.TEXT),
    "statement_descriptor": Kind.TEXT,
    "tax_code": Kind.TEXT,
    "unit_label": Kind.TEXT,
}


@endpoint(
    "POST",
    "/v1/prices",
    {
        **FIELDS,
        "billing_scheme": ("per_unit",),
        "currency": Required(Kind.TEXT),
        "product": Kind.TEXT,
        "product_data": PRODUCT_DATA,
        "recurring": RECURRING,
        "unit_amount": Required(Kind.INTEGER),
    },
)
def create(book: Book, params: Json) -> Json:
    if ("product" in params) == ("product_data" in params):
        raise StripeFailure("You must specify either `product` or `product_data`.", param="product")
    if "product" in params:
        book.find("products", params["product"], param="product")
    take_lookup_key(book, params, owner=None)
    product_id = params.get("product") or new_product(book, params["product_data"])
    price = shapes.price(params, product_id=product_id, now=book.now())
    return book.add("prices", price, "price.created")


def new_product(book: Book, params: Json) -> str:
    product = book.add("products", shapes.product(params, now=book.now()), "product.created")
    return str(product["id"])


def take_lookup_key(book: Book, params: Json, *, owner: str | None) -> None:
    """A lookup key belongs to one price; `transfer_lookup_key` takes it from the one that has it."""
    key = params.get("lookup_key")
    holder = next((row for row in book.prices.values() if key and row["lookup_key"] == key), None)
    if holder is None or holder["id"] == owner:
        return
    if not params.get("transfer_lookup_key"):
        raise StripeFailure(f"A price (`{holder['id']}`) already uses that lookup key.", param="lookup_key")
    with book.updating(holder, "price.updated"):
        holder["lookup_key"] = None


@endpoint("GET", "/v1/prices/{price}")
def retrieve(book: Book, params: Json, price: str) -> Json:
    return book.find("prices", price)


@endpoint("POST", "/v1/prices/{price}", FIELDS)
def update(book: Book, params: Json, price: str) -> Json:
    found = book.find("prices", price)
    take_lookup_key(book, params, owner=price)
    with book.updating(found, "price.updated"):
        assign(found, params, ("active", "lookup_key", "nickname", "tax_behavior"))
        merge_metadata(found, params)
    return found


@endpoint(
    "GET",
    "/v1/prices",
    {
        **PAGE,
        "active": Kind.BOOLEAN,
        "currency": Kind.TEXT,
        "lookup_keys": [Kind.TEXT],
        "product": Kind.TEXT,
        "type": ("one_time", "recurring"),
    },
)
def index(book: Book, params: Json) -> Json:
    keys = params.get("lookup_keys")
    if keys is not None and len(keys) > 10:
        raise StripeFailure("You can only look up 10 lookup_keys at a time.", param="lookup_keys")
    same = {name: params[name] for name in ("active", "currency", "product", "type") if name in params}
    rows = [
        row
        for row in book.prices.values()
        if (keys is None or row["lookup_key"] in keys)
        and all(row[name] == wanted for name, wanted in same.items())
    ]
    return page(rows, params, url="/v1/prices", noun="price")
