"""/v1/products"""

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
    "description": Kind.TEXT,
    "images": [Kind.TEXT],
    "marketing_features": [{"name": Required(Kind.TEXT)}],
    "metadata": Kind.MAP,
    "statement_descriptor": Kind.TEXT,
    "tax_code": Kind.TEXT,
    "unit_label": Kind.TEXT,
    "url": Kind.TEXT,
}


@endpoint("POST", "/v1/products", {**FIELDS, "name": Required(Kind.TEXT), "id": Kind.TEXT})
def create(book: Book, params: Json) -> Json:
    if params.get("id") in book.products:
        raise StripeFailure("Product already exists.", code="resource_already_exists", param="id")
    return book.add("products", shapes.product(params, now=book.now()), "product.created")


@endpoint("GET", "/v1/products/{product}")
def retrieve(book: Book, params: Json, product: str) -> Json:
    return book.find("products", product)


@endpoint("POST", "/v1/products/{product}", {**FIELDS, "name": Kind.TEXT, "default_price": Kind.TEXT})
def update(book: Book, params: Json, product: str) -> Json:
    found = book.find("products", product)
    if params.get("default_price"):
        book.find("prices", params["default_price"], param="default_price")
    with book.updating(found, "product.updated"):
        assign(
            found,
            params,
            (*(name for name in FIELDS if name != "metadata"), "name", "default_price"),
        )
        merge_metadata(found, params)
    found["updated"] = book.now()
    return found


@endpoint("GET", "/v1/products", {**PAGE, "active": Kind.BOOLEAN, "ids": [Kind.TEXT]})
def index(book: Book, params: Json) -> Json:
    rows = [
        row
        for row in book.products.values()
        if params.get("active") in (None, row["active"])
        and ("ids" not in params or row["id"] in params["ids"])
    ]
    return page(rows, params, url="/v1/products", noun="product")
