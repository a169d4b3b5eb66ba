"""JSON as RFC 8259 and careful clients mean it: what two readers could understand differently is refused."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import IO, Any, NoReturn

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from saas.kit.errors import MalformedRequest

MAX_DEPTH = 32


class ExactMediaType(DefaultContentNegotiation):
    """A body is of one type: a range such as `*/*` says nothing about it. Most answers need no negotiating."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        if "*" in (request.content_type or ""):
            return None
        return super().select_parser(request, parsers)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        if format_suffix is None and request.META.get("HTTP_ACCEPT", "*/*") in ("*/*", first.media_type):
            return first, str(first.media_type)
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen


class StrictJSONParser(BaseParser):
    """A JSON object in UTF-8, without repeated names, NaN, NUL characters or halves of surrogate pairs."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return parse_json(stream.read())


class MergePatchParser(StrictJSONParser):
    media_type = "application/merge-patch+json"  # RFC 7396


def parse_json(body: bytes) -> dict[str, Any]:
    """Raises MalformedRequest."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_number,
        )
    # ValueError is also how Python refuses a number of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("The body is not valid JSON in UTF-8.") from error
    if not isinstance(value, dict):
        raise MalformedRequest("The body must be a JSON object.")
    _check_texts(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MalformedRequest("The body repeats a name within one JSON object.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("out of range")
    return value


def _check_texts(root: dict[str, Any]) -> None:
    todo: list[tuple[Any, int]] = [(root, 1)]
    while todo:
        value, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise MalformedRequest("The body is nested too deeply.")
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            todo += [(part, depth + 1) for item in value.items() for part in item]
        elif isinstance(value, list):
            todo += [(part, depth + 1) for part in value]


def _check_text(text: str) -> None:
    if "\0" in text:
        raise MalformedRequest("The body holds a NUL character.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise MalformedRequest("The body holds half of a surrogate pair.")
