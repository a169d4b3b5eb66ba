"""How an update's parameters change an object."""

from billing.standin.state import Json


def assign(thing: Json, params: Json, names: tuple[str, ...]) -> None:
    """An empty string unsets a field."""
    for name in names:
        if name in params:
            thing[name] = None if params[name] == "" else params[name]


def merge_metadata(thing: Json, params: Json) -> None:
    """Keys are merged, an empty value removes its key, and `metadata=` alone removes them all."""
    if "metadata" not in params:
        return
    given = params["metadata"]
    merged = {**thing["metadata"], **given} if given else {}
    thing["metadata"] = {key: value for key, value in merged.items() if value != ""}
