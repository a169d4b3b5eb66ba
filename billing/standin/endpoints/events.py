"""/v1/events"""

from fnmatch import fnmatchcase

from billing.standin.book import Book
from billing.standin.errors import StripeFailure
from billing.standin.listing import PAGE, page
from billing.standin.parameters import Kind
from billing.standin.routes import endpoint
from billing.standin.state import Json


@endpoint(
    "GET",
    "/v1/events",
    {**PAGE, "delivery_success": Kind.BOOLEAN, "type": Kind.TEXT, "types": [Kind.TEXT]},
)
def index(book: Book, params: Json) -> Json:
    if "type" in params and "types" in params:
        raise StripeFailure("You may only specify one of these parameters: type, types.", param="type")
    wanted = params.get("types") or [params.get("type", "*")]
    success = params.get("delivery_success")
    rows = [
        row
        for row in book.events.values()
        if any(fnmatchcase(row["type"], pattern) for pattern in wanted)
        and success in (None, row["pending_webhooks"] == 0)
    ]
    return page(rows, params, url="/v1/events", noun="event")


@endpoint("GET", "/v1/events/{event}")
def retrieve(book: Book, params: Json, event: str) -> Json:
    return book.find("events", event)
