"""The hosted invoice."""

from billing.standin.book import Book
from billing.standin.pages.layout import day, joined, money, render, whole_page
from billing.standin.state import Json


def page(book: Book, invoice: Json) -> str:
    currency = invoice["currency"]
    lines = [
        render(
            "line",
            name=line["description"] or "Item",
            note=f"{day(line['period']['start'])} – {day(line['period']['end'])}",
            amount=money(line["amount"], currency),
            quantity=line["quantity"],
        )
        for line in invoice["lines"]["data"]
    ]
    return whole_page(
        f"Invoice {invoice['number'] or ''}",
        "invoice",
        number=invoice["number"] or "draft",
        status=invoice["status"],
        date=day(invoice["created"]),
        customer=invoice["customer_name"] or invoice["customer_email"] or invoice["customer"],
        lines=joined(lines),
        total=money(invoice["total"], currency),
        due=money(invoice["amount_remaining"], currency),
    )
