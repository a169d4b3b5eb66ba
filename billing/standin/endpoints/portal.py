"""/v1/billing_portal/sessions"""

from billing.standin.book import Book
from billing.standin.parameters import Kind, Required
from billing.standin.routes import endpoint
from billing.standin.shapes import sessions
from billing.standin.state import Json


@endpoint(
    "POST",
    "/v1/billing_portal/sessions",
    {
        "configuration": Kind.TEXT,
        "customer": Required(Kind.TEXT),
        "locale": Kind.TEXT,
        "return_url": Kind.URL,
    },
)
def create(book: Book, params: Json) -> Json:
    customer = book.customer(params["customer"], param="customer")
    session = sessions.portal_session(params, customer_id=customer["id"], url=book.url, now=book.now())
    return book.add("portal_sessions", session, "billing_portal.session.created")
