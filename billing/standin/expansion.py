"""`expand[]=data.product` puts an object where its id stood."""

import copy
from typing import Any

from billing.standin.errors import StripeFailure
from billing.standin.state import COLLECTIONS, State

EXPANDABLE = [name for name in COLLECTIONS if name not in ("events", "line_items")]


def expanded(state: State, answer: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    answer = copy.deepcopy(answer)
    for path in paths:
        expand(state, answer, path.split("."), path)
    return answer


def expand(state: State, thing: Any, names: list[str], path: str) -> None:
    if isinstance(thing, list):
        for entry in thing:
            expand(state, entry, names, path)
        return
    name, rest = names[0], names[1:]
    if name == "line_items" and thing.get("object") == "checkout.session":
        thing["line_items"] = line_items(state, thing["id"])
    if name not in thing:
        raise StripeFailure(f"This property cannot be expanded ({path}).", param="expand")
    if isinstance(thing[name], str):
        thing[name] = by_id(state, thing[name], path)
    if rest and thing[name] is not None:
        expand(state, thing[name], rest, path)


def by_id(state: State, identifier: str, path: str) -> dict[str, Any]:
    for collection in EXPANDABLE:
        found = getattr(state, collection).get(identifier)
        if found is not None:
            return copy.deepcopy(found)
    raise StripeFailure(f"This property cannot be expanded ({path}).", param="expand")


def line_items(state: State, session_id: str) -> dict[str, Any]:
    return {
        "object": "list",
        "data": copy.deepcopy(state.line_items[session_id]),
        "has_more": False,
        "url": f"/v1/checkout/sessions/{session_id}/line_items",
    }
