"""Stripe's form bodies: `a[b][0][c]=x` becomes nested dictionaries, list indexes kept as keys."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from billing.standin.errors import StripeFailure

NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def read_form(text: str) -> dict[str, Any]:
    return unflatten(parse_qsl(text, keep_blank_values=True))


def unflatten(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in pairs:
        match = NAME.fullmatch(name)
        if match is None:
            raise StripeFailure(f"Invalid parameter name: {name}", param=name)
        put(tree, [match[1], *re.findall(r"\[([^\]]*)\]", match[2])], value, name)
    return tree


def put(tree: dict[str, Any], keys: list[str], value: str, name: str) -> None:
    """`a[]=x` appends; the next free index is the number of entries so far."""
    for key in keys[:-1]:
        tree = tree.setdefault(key or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise StripeFailure(f"Invalid hash: {name}", param=name)
    tree[keys[-1] or str(len(tree))] = value
