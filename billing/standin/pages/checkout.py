"""The checkout page."""

from billing.standin.book import Book
from billing.standin.pages.layout import (
    Markup,
    alert,
    day,
    joined,
    money,
    price_text,
    render,
    whole_page,
)
from billing.standin.state import Json

DECLINED = "Your card was declined. Nothing was charged; you can try again."


def page(book: Book, session: Json, *, declined: bool = False) -> str:
    if session["status"] != "open":
        return whole_page("Checkout", "closed", status=session["status"], words=CLOSED[session["status"]])
    return whole_page(
        "Checkout",
        "checkout",
        alert=alert(DECLINED if declined else None),
        lines=joined([line(item) for item in book.line_items[session["id"]]]),
        trial=trial(book, session),
        total=money(0 if trial_days(book, session) else session["amount_total"], session["currency"]),
        email=email(session),
        action=f"/checkout/{session['id']}",
        cancel=cancel(session),
    )


CLOSED = {
    "complete": "This checkout is paid. You can close this page.",
    "expired": "The time for this checkout is over. Go back to the shop and start again.",
}


def line(item: Json) -> Markup:
    return render(
        "line",
        name=item["description"],
        note=price_text(item["price"]),
        amount=money(item["amount_total"], item["currency"]),
        quantity=item["quantity"],
    )


def trial_days(book: Book, session: Json) -> int:
    data = book.session_data.get(session["id"], {})
    if data.get("trial_end"):
        return max(1, int(data["trial_end"] - book.now()) // (24 * 3600))
    return int(data.get("trial_period_days", 0))


def trial(book: Book, session: Json) -> Markup:
    days = trial_days(book, session)
    if not days:
        return Markup("")
    return render("trial", days=days, until=day(book.now() + days * 24 * 3600))


def email(session: Json) -> Markup:
    known = (session["customer_details"] or {}).get("email")
    if known or session["customer"]:
        return render("email_known", email=known or "(the customer has no address)")
    return render("email_asked")


def cancel(session: Json) -> Markup:
    return render("cancel", href=session["cancel_url"]) if session["cancel_url"] else Markup("")
