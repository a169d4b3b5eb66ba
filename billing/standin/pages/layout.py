"""Templates: `string.Template` files beside this one, every value escaped unless it is `Markup`."""

from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

HERE = Path(__file__).parent


class Markup(str):
    """HTML that is ready to be shown as it is."""


def render(template: str, **values: Any) -> Markup:
    text = Template((HERE / f"{template}.html").read_text(encoding="utf-8"))
    return Markup(text.substitute({name: escaped(value) for name, value in values.items()}))


def escaped(value: Any) -> str:
    return value if isinstance(value, Markup) else escape(str(value))


def joined(parts: list[Markup], *, empty: str = "") -> Markup:
    return Markup("\n".join(parts)) if parts else Markup(f"<p>{escape(empty)}</p>" if empty else "")


def rows(parts: list[Markup], *, empty: str) -> Markup:
    return render("rows", rows=joined(parts)) if parts else joined([], empty=empty)


def whole_page(title: str, template: str, **values: Any) -> str:
    return render("layout", title=title, content=render(template, **values))


def alert(message: str | None) -> Markup:
    return render("alert", message=message) if message else Markup("")


def money(amount: int, currency: str) -> str:
    """For eyes only; currencies without cents are shown with them."""
    return f"{amount / 100:,.2f} {currency.upper()}"


def price_text(price: dict[str, Any]) -> str:
    text = money(price["unit_amount"] or 0, price["currency"])
    if not price["recurring"]:
        return text
    count, interval = price["recurring"]["interval_count"], price["recurring"]["interval"]
    return f"{text} per {interval}" if count == 1 else f"{text} every {count} {interval}s"


def day(moment: int | None) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%-d %B %Y}" if moment else "–"
