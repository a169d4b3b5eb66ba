"""The customer portal, and beside it the time machine."""

from collections.abc import Callable, Mapping

from billing.standin.book import Book
from billing.standin.errors import StripeFailure, missing
from billing.standin.pages.layout import (
    Markup,
    alert,
    day,
    joined,
    money,
    price_text,
    render,
    rows,
    whole_page,
)
from billing.standin.state import Json
from billing.standin.subscribing import ENDED, period_end

Button = tuple[str, str]

ACTIONS: dict[str, Callable[[Book, str], Json]] = {
    "cancel_at_period_end": lambda book, key: book.cancel(key, at_period_end=True),
    "resume": lambda book, key: book.resume(key),
    "cancel": lambda book, key: book.cancel(key),
    "renew": lambda book, key: book.renew(key),
    "renew_fails": lambda book, key: book.renew(key, succeeds=False),
    "retry": lambda book, key: book.retry_payment(key),
    "trial_will_end": lambda book, key: book.trial_will_end(key),
    "end_trial": lambda book, key: book.end_trial(key),
    "finish_dunning": lambda book, key: book.finish_dunning(key),
}


def act(book: Book, customer_id: str, form: Mapping[str, str]) -> None:
    """Only the customer's own subscriptions can be reached from the customer's portal."""
    action, key = form.get("action", ""), form.get("subscription", "")
    if action == "update_card":
        book.update_card(customer_id)
        return
    if key not in {row["id"] for row in book.subscriptions_of(customer_id)}:
        raise missing("subscription", key)
    if action == "change_price":
        book.change_price(key, form.get("price", ""))
    elif action in ACTIONS:
        ACTIONS[action](book, key)
    else:
        raise StripeFailure("There is no such button.")


def page(book: Book, customer: Json, *, back: str | None, notice: str | None) -> str:
    subscriptions = book.subscriptions_of(customer["id"])[::-1]
    going_on = [row for row in subscriptions if row["status"] not in ENDED]
    invoices = [row for row in reversed(book.invoices.values()) if row["customer"] == customer["id"]]
    return whole_page(
        "Billing portal",
        "portal",
        alert=alert(notice),
        name=customer["name"] or customer["email"] or customer["id"],
        back=render("back", href=back) if back else Markup(""),
        subscriptions=joined([subscription(book, row) for row in subscriptions], empty="No subscription."),
        card=card(book, customer),
        invoices=rows([invoice(row) for row in invoices], empty="No invoice yet."),
        machine=joined(
            [machine(book, row) for row in going_on], empty="Nothing to move: no running subscription."
        ),
    )


def plan(book: Book, row: Json) -> str:
    return ", ".join(book.products[item["price"]["product"]]["name"] for item in row["items"]["data"])


def subscription(book: Book, row: Json) -> Markup:
    return render(
        "subscription",
        plan=plan(book, row),
        status=row["status"].replace("_", " "),
        state="good" if row["status"] in ("active", "trialing") else "bad",
        price=", ".join(price_text(item["price"]) for item in row["items"]["data"]),
        period=period(row),
        buttons=joined([button(row, choice) for choice in choices(row)]),
        change=change(book, row),
    )


def period(row: Json) -> str:
    if row["status"] in ENDED:
        return f"Ended on {day(row['ended_at'])}"
    if row["cancel_at_period_end"]:
        return f"Ends on {day(period_end(row))}"
    if row["status"] == "trialing":
        return f"Trial until {day(row['trial_end'])}"
    return f"Renews on {day(period_end(row))}"


def choices(row: Json) -> list[Button]:
    if row["status"] in ENDED:
        return []
    if row["cancel_at_period_end"]:
        return [("resume", "Resume"), ("cancel", "Cancel now")]
    return [("cancel_at_period_end", "Cancel at period end"), ("cancel", "Cancel now")]


def button(row: Json, choice: Button) -> Markup:
    return render("button", action=choice[0], label=choice[1], subscription=row["id"])


def change(book: Book, row: Json) -> Markup:
    """Every other active recurring price."""
    present = {item["price"]["id"] for item in row["items"]["data"]}
    prices = [
        price
        for price in book.prices.values()
        if price["active"] and price["recurring"] and price["id"] not in present
    ]
    if row["status"] in ENDED or not prices:
        return Markup("")
    options = [
        render(
            "option",
            value=price["id"],
            label=f"{book.products[price['product']]['name']}, {price_text(price)}",
        )
        for price in prices
    ]
    return render("change", subscription=row["id"], options=joined(options))


def machine(book: Book, row: Json) -> Markup:
    return render(
        "machine",
        plan=plan(book, row),
        status=row["status"].replace("_", " "),
        buttons=joined([button(row, choice) for choice in moves(row)]),
    )


def moves(row: Json) -> list[Button]:
    if row["status"] == "trialing":
        return [("trial_will_end", "Trial ends in 3 days"), ("end_trial", "End trial")]
    renewals = [
        ("renew", "Renew now (payment succeeds)"),
        ("renew_fails", "Renew now (payment fails)"),
    ]
    if row["status"] in ("past_due", "incomplete"):
        return [
            ("retry", "Retry the failed payment (succeeds)"),
            ("finish_dunning", "Finish dunning"),
            *renewals,
        ]
    return renewals


def card(book: Book, customer: Json) -> str:
    known = book.payment_methods.get(customer["invoice_settings"]["default_payment_method"] or "")
    return f"Visa ending in {known['card']['last4']}" if known else "No card"


def invoice(row: Json) -> Markup:
    return render(
        "row",
        href=f"/invoices/{row['id']}",
        name=f"{row['number'] or 'Draft'}, {day(row['created'])}",
        note=f"{money(row['total'], row['currency'])}, {row['status']}",
    )
