"""Which parameters an endpoint knows and what type they have; anything else is refused as Stripe refuses it."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from billing.standin.errors import StripeFailure


class Kind(Enum):
    TEXT = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    URL = "url"
    MAP = "map"
    RANGE = "range"


class Required(NamedTuple):
    """A parameter that must be given."""

    kind: Any


# A kind is a Kind, a tuple of allowed strings, a mapping (a hash of those names) or a list of one kind.
Shape = Mapping[str, Any]

RANGE_SHAPE: Shape = dict.fromkeys(("gt", "gte", "lt", "lte"), Kind.INTEGER)


def read(shape: Shape, given: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    for name in given:
        if name not in shape:
            param = path(prefix, name)
            raise StripeFailure(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)
    for name, kind in shape.items():
        if isinstance(kind, Required) and name not in given:
            param = path(prefix, name)
            raise StripeFailure(f"Missing required param: {param}.", code="parameter_missing", param=param)
    return {name: value(shape[name], given[name], path(prefix, name)) for name in given}


def path(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def value(kind: Any, given: Any, param: str) -> Any:
    if isinstance(kind, Required):
        return required(kind, given, param)
    if isinstance(kind, list):
        return [value(kind[0], entry, path(param, index)) for index, entry in entries(given, param)]
    if isinstance(kind, Mapping):
        return read(kind, mapping(given, param), param)
    if isinstance(kind, tuple):
        return choice(kind, given, param)
    return READERS[kind](given, param)


def required(kind: Required, given: Any, param: str) -> Any:
    if given == "":
        raise StripeFailure(
            f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a "
            f"parameter; however '{param}' cannot be unset.",
            code="parameter_invalid_empty",
            param=param,
        )
    return value(kind.kind, given, param)


def entries(given: Any, param: str) -> list[tuple[str, Any]]:
    if given == "":
        return []
    if not isinstance(given, dict) or not all(key.isdigit() for key in given):
        raise StripeFailure("Invalid array", param=param)
    return sorted(given.items(), key=lambda entry: int(entry[0]))


def mapping(given: Any, param: str) -> dict[str, Any]:
    if given == "":
        return {}
    if not isinstance(given, dict):
        raise StripeFailure("Invalid object", param=param)
    return given


def choice(allowed: tuple[str, ...], given: Any, param: str) -> str:
    if given not in allowed:
        raise StripeFailure(f"Invalid {param}: must be one of {', '.join(allowed)}", param=param)
    return str(given)


def text(given: Any, param: str) -> str:
    if not isinstance(given, str):
        raise StripeFailure(f"Invalid string: {given}", param=param)
    return given


def integer(given: Any, param: str) -> int:
    try:
        return int(text(given, param))
    except ValueError:
        raise StripeFailure(
            f"Invalid integer: {given}", code="parameter_invalid_integer", param=param
        ) from None


def boolean(given: Any, param: str) -> bool:
    if given not in ("true", "false"):
        raise StripeFailure(f"Invalid boolean: {given}", param=param)
    return bool(given == "true")


def url(given: Any, param: str) -> str:
    if not text(given, param).startswith(("http://", "https://")):
        raise StripeFailure("Not a valid URL", code="url_invalid", param=param)
    return str(given)


def created(given: Any, param: str) -> dict[str, int]:
    """A moment, or bounds: `created=5` is the same as from 5 to 5."""
    if isinstance(given, str):
        moment = integer(given, param)
        return {"gte": moment, "lte": moment}
    return read(RANGE_SHAPE, given, param)


READERS = {
    Kind.TEXT: text,
    Kind.INTEGER: integer,
    Kind.BOOLEAN: boolean,
    Kind.URL: url,
    Kind.MAP: mapping,
    Kind.RANGE: created,
}
