"""Lists: newest first, a page at a time."""

from collections.abc import Callable, Iterable
from typing import Any

from billing.standin.errors import StripeFailure, missing
from billing.standin.parameters import Kind, Shape

Json = dict[str, Any]

PAGE: Shape = {
    "limit": Kind.INTEGER,
    "starting_after": Kind.TEXT,
    "ending_before": Kind.TEXT,
    "created": Kind.RANGE,
}
BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gt": int.__gt__,
    "gte": int.__ge__,
    "lt": int.__lt__,
    "lte": int.__le__,
}


def page(rows: Iterable[Json], params: Json, *, url: str, noun: str) -> Json:
    """`rows` come oldest first, as the book keeps them."""
    newest_first = [row for row in rows if within(row["created"], params.get("created", {}))][::-1]
    chosen, has_more = cut(newest_first, params, limit=limit(params), noun=noun)
    return {"object": "list", "data": chosen, "has_more": has_more, "url": url}


def within(moment: int, bounds: dict[str, int]) -> bool:
    return all(BOUNDS[name](moment, bound) for name, bound in bounds.items())


def limit(params: Json) -> int:
    asked = int(params.get("limit", 10))
    if not 1 <= asked <= 100:
        word = "greater than or equal to 1" if asked < 1 else "less than or equal to 100"
        raise StripeFailure(f"This value must be {word}.", param="limit")
    return asked


def cut(rows: list[Json], params: Json, *, limit: int, noun: str) -> tuple[list[Json], bool]:
    if before := params.get("ending_before"):
        rows = rows[: position(rows, before, noun=noun, param="ending_before")]
        return rows[-limit:], len(rows) > limit
    if after := params.get("starting_after"):
        rows = rows[position(rows, after, noun=noun, param="starting_after") + 1 :]
    return rows[:limit], len(rows) > limit


def position(rows: list[Json], identifier: str, *, noun: str, param: str) -> int:
    for index, row in enumerate(rows):
        if row["id"] == identifier:
            return index
    raise missing(noun, identifier, param=param)
