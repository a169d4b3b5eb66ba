"""Which function answers which request."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from billing.standin.errors import StripeFailure
from billing.standin.parameters import Kind, Shape

Handler = Callable[..., dict[str, Any]]


class Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    shape: Shape
    handle: Handler


ROUTES: list[Route] = []


def endpoint(method: str, path: str, shape: Shape | None = None) -> Callable[[Handler], Handler]:
    """Registers `handle(book, params, **names in braces)`; every endpoint also knows `expand`."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))

    def register(handle: Handler) -> Handler:
        ROUTES.append(Route(method, pattern, {"expand": [Kind.TEXT], **(shape or {})}, handle))
        return handle

    return register


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and route.method == method:
            return route, match.groupdict()
    raise StripeFailure(f"Unrecognized request URL ({method}: {path}).", status=404)
