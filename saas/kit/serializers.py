"""Serializers that drop and convert nothing in silence: what a client sent is taken as it is, or refused."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache, partial
from operator import attrgetter
from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty
from rest_framework.request import Request
from rest_framework.settings import api_settings

from saas.kit.errors import FieldError, ValidationFailed

# C0, DEL, C1 and the two line separators: none belongs into a line of text.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Embeddings, overrides and isolates make a name read as another one. The marks U+200E and U+200F don't.
BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
WEB_ADDRESS = re.compile(r"://|\bwww\.", re.IGNORECASE)
DIGITS = re.compile("[0-9]+")
# The field's way to write a value, and the types of values that saas.kit.renderers writes in the same way.
NATIVE: dict[Any, tuple[type, ...]] = {
    serializers.CharField.to_representation: (str,),
    serializers.UUIDField.to_representation: (UUID, str),
    serializers.DateTimeField.to_representation: (datetime, str),
    serializers.IntegerField.to_representation: (int,),
    serializers.BooleanField.to_representation: (bool,),
}


class StrictSerializer(serializers.Serializer[Any]):
    """Fields that it does not know, or that are read-only, are errors."""

    def to_internal_value(self, data: Any) -> Any:
        refused = self._refused(data) if isinstance(data, Mapping) else {}
        try:
            value = super().to_internal_value(data)
        except ValidationError as error:
            if refused and isinstance(error.detail, dict):
                raise ValidationError({**error.detail, **refused}) from error
            raise
        if refused:
            raise ValidationError(refused)
        return value

    def _refused(self, data: Mapping[Any, Any]) -> dict[str, list[ErrorDetail]]:
        refused = {}
        for name in data:
            if name not in self.fields:
                refused[str(name)] = [ErrorDetail("There is no such field.", "unknown_field")]
            elif self.fields[name].read_only:
                refused[str(name)] = [ErrorDetail("This field can't be set.", "read_only")]
        return refused


class StrictCharField(serializers.CharField):
    """Text stored exactly as typed: nothing is trimmed, and a number or a boolean is no text.

    With `plain_text` (the default) it is one line of visible text: control and bidirectional override
    characters are refused, and so are mere spaces unless `allow_blank`. Passwords and tokens turn it off.
    """

    default_error_messages: ClassVar[dict[str, Any]] = {
        "control_character": _("Control characters and line breaks are not allowed."),
        "bidi_override": _("Characters that change the direction of text are not allowed."),
        # REST framework's own, which its translations would say in another tone than ours.
        "required": _("This field is required."),
        "blank": _("This field may not be blank."),
        "max_length": _("Ensure this field has no more than {max_length} characters."),
        "min_length": _("Ensure this field has at least {min_length} characters."),
    }

    def __init__(self, *, plain_text: bool = True, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)
        self.plain_text = plain_text

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if self.plain_text:
            self._check(data)
        return super().to_internal_value(data)

    def _check(self, text: str) -> None:
        if not self.allow_blank and not _is_visible(text):
            self.fail("blank")
        if CONTROL.search(text):
            self.fail("control_character")
        if BIDI.search(text):
            self.fail("bidi_override")


def _is_visible(text: str) -> bool:
    """Whether something of it shows: neither space nor a format character, such as a zero-width space."""
    return any(not char.isspace() and unicodedata.category(char) != "Cf" for char in text)


class StrictEmailField(StrictCharField, serializers.EmailField):
    """An address as typed; what makes two of them the same is the database's business."""

    default_error_messages: ClassVar[dict[str, Any]] = {"invalid": _("Enter a valid email address.")}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 254)
        super().__init__(**kwargs)


class NameField(StrictCharField):
    """What a person or an organization is called. No web address: mails to strangers show it, and would make it a link."""

    default_error_messages: ClassVar[dict[str, Any]] = {"web_address": "A name holds no web address."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=200, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if WEB_ADDRESS.search(value):
            self.fail("web_address")
        return value


class StrictBooleanField(serializers.BooleanField):
    """`true` or `false`, not a word or number that could mean it."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class DigitsField(serializers.IntegerField):
    """A number of a query, in digits alone: int() would also take `1_0`, `٥` and ` 5`."""

    def to_internal_value(self, data: Any) -> int:
        if not DIGITS.fullmatch(str(data)):
            self.fail("invalid")
        return super().to_internal_value(data)


def read(serializer_class: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """The body's validated fields; DRF answers 422 for what is wrong with them."""
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    fields: dict[str, Any] = serializer.validated_data
    return fields


def represent(serializer_class: type[serializers.Serializer[Any]], instance: Any) -> Any:
    """What `serializer_class(instance).data` says, without building the fields anew for each answer.

    Ids and moments stay what they are: the renderer writes them as REST framework's fields would.
    """
    columns = None if isinstance(instance, Mapping) else _columns(serializer_class)
    if columns is None:
        return _writer(serializer_class).to_representation(instance)
    return {name: value_of(instance) for name, value_of in columns}


@cache
def _writer(serializer_class: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    # It holds nothing of a request: neither an instance nor a context.
    return serializer_class()


@cache
def _columns(
    serializer_class: type[serializers.Serializer[Any]],
) -> list[tuple[str, Callable[[Any], Any]]] | None:
    """How each field's value is read from an instance; None where a field may be missing from the answer."""
    writer = _writer(serializer_class)
    if type(writer).to_representation is not serializers.Serializer.to_representation:
        return None
    fields = [field for field in writer.fields.values() if not field.write_only]
    if any(field.default is not empty or not (field.required or field.read_only) for field in fields):
        return None
    return [(str(field.field_name), _column(field)) for field in fields]


def _column(field: Any) -> Callable[[Any], Any]:
    if isinstance(field, serializers.SerializerMethodField):
        return cast(Callable[[Any], Any], getattr(field.parent, str(field.method_name)))
    native = None if hasattr(field, "format") else NATIVE.get(type(field).to_representation)
    if native is None or "." in field.source:
        return partial(_value, field)
    read = attrgetter(field.source)

    def value_of(instance: Any) -> Any:
        value = read(instance)
        return value if type(value) in native else _value(field, instance)

    return value_of


def _value(field: Any, instance: Any) -> Any:
    value = field.get_attribute(instance)
    if value is None:
        return None
    if isinstance(field, serializers.Serializer):
        return represent(type(field), value)
    return field.to_representation(value)


def parse_query(serializer_class: type[StrictSerializer], request: Request | HttpRequest) -> dict[str, Any]:
    """The validated query parameters. Raises ValidationFailed, for unknown and for repeated ones too."""
    query = request.GET
    serializer = serializer_class(data=query.dict())
    is_valid = serializer.is_valid()
    errors = [] if is_valid else field_errors(serializer.errors, in_query=True)
    errors += [
        FieldError((name,), "repeated", "This parameter may be given once.", in_query=True)
        for name, values in query.lists()
        if len(values) > 1
    ]
    if errors:
        raise ValidationFailed(errors)
    validated: dict[str, Any] = serializer.validated_data
    return validated


def field_errors(detail: Any, *, in_query: bool = False) -> list[FieldError]:
    """Flatten a DRF ValidationError's detail; errors of a whole object point at the object."""
    return list(_flatten(detail, (), in_query))


def _flatten(detail: Any, path: tuple[str, ...], in_query: bool) -> Iterator[FieldError]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            is_whole = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from _flatten(inner, path if is_whole else (*path, str(name)), in_query)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            # A list holds this field's errors, or one mapping for each entry of a list field.
            inner_path = (*path, str(index)) if isinstance(inner, Mapping) else path
            yield from _flatten(inner, inner_path, in_query)
    else:
        yield FieldError(path, getattr(detail, "code", None) or "invalid", str(detail), in_query)
