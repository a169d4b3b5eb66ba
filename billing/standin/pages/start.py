"""The start page: what this is, and a way into each customer's portal."""

from billing.standin.book import Book
from billing.standin.pages.layout import Markup, render, rows, whole_page
from billing.standin.state import Json


def page(book: Book) -> str:
    customers = [row for row in reversed(book.customers.values()) if not row.get("deleted")]
    sessions = [row for row in reversed(book.checkout_sessions.values()) if row["status"] == "open"]
    waiting = sum(1 for event in book.events.values() if event["pending_webhooks"])
    return whole_page(
        "Start",
        "start",
        customers=rows([customer(book, row) for row in customers], empty="No customer yet."),
        sessions=rows([session(row) for row in sessions], empty="No open checkout."),
        events=len(book.events),
        waiting=waiting,
    )


def customer(book: Book, row: Json) -> Markup:
    statuses = [entry["status"].replace("_", " ") for entry in book.subscriptions_of(row["id"])]
    return render(
        "row",
        href=f"/customers/{row['id']}",
        name=row["name"] or row["email"] or row["id"],
        note=", ".join(statuses) or "no subscription",
    )


def session(row: Json) -> Markup:
    email = (row["customer_details"] or {}).get("email")
    return render("row", href=f"/checkout/{row['id']}", name=email or row["id"], note=row["mode"])
