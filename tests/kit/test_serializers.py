from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.db.models import TextChoices
from django.test import RequestFactory
from rest_framework import serializers

from saas.kit.errors import ValidationFailed
from saas.kit.renderers import JSONRenderer
from saas.kit.serializers import (
    StrictBooleanField,
    StrictCharField,
    StrictEmailField,
    StrictSerializer,
    field_errors,
    parse_query,
    represent,
)


class Size(TextChoices):
    LARGE = "large"


class Item(StrictSerializer):
    name = StrictCharField()


class Example(StrictSerializer):
    id = serializers.IntegerField(read_only=True)
    email = StrictEmailField()
    name = StrictCharField(max_length=5, required=False)
    password = StrictCharField(plain_text=False, required=False)
    nickname = StrictCharField(allow_blank=True, required=False)
    is_open = StrictBooleanField(required=False)
    items = Item(many=True, required=False)
    tags = serializers.ListField(child=StrictCharField(), required=False)

    def validate(self, data):
        if data.get("name") == "whole":
            raise serializers.ValidationError("These do not go together.", code="conflict")
        return data


class Page(StrictSerializer):
    limit = serializers.IntegerField(min_value=1, max_value=100, default=25)
    q = StrictCharField(required=False)


def problems(**data):
    serializer = Example(data={"email": "alice@example.com", **data})
    serializer.is_valid()
    return {error.as_json()["pointer"]: error.code for error in field_errors(serializer.errors)}


def query(text):
    return parse_query(Page, RequestFactory().get(f"/?{text}"))


class TestStrictSerializer:
    def test_it_takes_what_fits(self):
        assert problems(name="Alice", is_open=True, items=[{"name": "x"}], tags=["a"]) == {}

    def test_it_refuses_unknown_and_read_only_fields(self):
        assert problems(id=1, colour="red") == {"#/id": "read_only", "#/colour": "unknown_field"}

    def test_it_tells_everything_that_is_wrong_at_once(self):
        assert problems(name="too long", colour="red", email="nobody") == {
            "#/name": "max_length",
            "#/colour": "unknown_field",
            "#/email": "invalid",
        }

    def test_it_points_into_lists(self):
        assert problems(items=[{"name": "x"}, {"name": 1, "size": 2}], tags=["a", 5]) == {
            "#/items/1/name": "invalid",
            "#/items/1/size": "unknown_field",
            "#/tags/1": "invalid",
        }

    def test_it_points_at_the_object_if_no_single_field_is_wrong(self):
        assert problems(name="whole") == {"#": "conflict"}

    def test_it_points_at_a_field_that_should_be_an_object(self):
        assert problems(items=["x"], name=None) == {"#/items/0": "invalid", "#/name": "null"}


class TestStrictCharField:
    @pytest.mark.parametrize("value", [" a ", "O'Ñ <b>", "日本語", "👩‍👩‍👧", "\u200fعربي"])
    def test_it_keeps_text_as_typed(self, value):
        assert StrictCharField().run_validation(value) == value

    @pytest.mark.parametrize("value", [1, 1.5, True, ["a"], {"a": 1}])
    def test_it_takes_nothing_else_for_text(self, value):
        assert problems(name=value) == {"#/name": "invalid"}

    @pytest.mark.parametrize("value", ["a\nb", "a\tb", "a\x00b", "a\x7f", "a\x9b", "a\u2028b"])
    def test_it_refuses_control_characters(self, value):
        assert "control_character" in problems(nickname=value).values()

    @pytest.mark.parametrize("value", ["a\u202eb", "a\u2066b", "\u202a"])
    def test_it_refuses_bidi_overrides(self, value):
        assert problems(nickname=value) == {"#/nickname": "bidi_override"}

    @pytest.mark.parametrize("value", ["", " ", "\u3000"])
    def test_mere_spaces_are_blank(self, value):
        assert problems(name=value) == {"#/name": "blank"}
        assert problems(nickname=value) == {}

    def test_a_password_may_hold_anything(self):
        assert problems(password="   \t\u202e   ") == {}


class TestStrictEmailField:
    @pytest.mark.parametrize("value", ["Alice@Example.com", "a+b@example.co.uk", "o'neil@example.com"])
    def test_it_keeps_an_address_as_typed(self, value):
        assert StrictEmailField().run_validation(value) == value

    @pytest.mark.parametrize(
        "value",
        ["", "alice", "alice@", "a@b@c.de", " a@example.com", "a@example.com\n", "a" * 250 + "@example.com"],
    )
    def test_it_refuses(self, value):
        assert set(problems(email=value)) == {"#/email"}


class TestStrictBooleanField:
    @pytest.mark.parametrize("value", ["true", "on", 1, 0, "", [], {}])
    def test_it_takes_true_and_false_alone(self, value):
        assert problems(is_open=value) == {"#/is_open": "invalid"}


class TestParseQuery:
    def test_it_works(self):
        assert query("limit=5&q=ali") == {"limit": 5, "q": "ali"}
        assert query("") == {"limit": 25}

    @pytest.mark.parametrize(
        ("text", "parameter", "code"),
        [
            ("limit=0", "limit", "min_value"),
            ("limit=x", "limit", "invalid"),
            ("limit=", "limit", "invalid"),
            ("colour=red", "colour", "unknown_field"),
            ("q=%00", "q", "control_character"),
            ("limit=1&limit=2", "limit", "repeated"),
        ],
    )
    def test_it_refuses(self, text, parameter, code):
        with pytest.raises(ValidationFailed) as caught:
            query(text)
        (error,) = caught.value.extra["errors"]
        assert (error["parameter"], error["code"]) == (parameter, code)


class TestRepresent:
    def test_it_says_what_the_serializer_says(self):
        class Inner(serializers.Serializer):
            at = serializers.DateTimeField()

        class Answer(serializers.Serializer):
            name = serializers.CharField(source="title")
            inner = Inner()
            kind = serializers.CharField(default="thing")

        thing = {"title": "One", "inner": {"at": datetime(2026, 1, 1, tzinfo=UTC)}}
        other = thing | {"title": "Two"}
        for each in (thing, other, thing):
            assert represent(Answer, each) == Answer(each).data

    def test_of_an_object_the_renderer_writes_what_the_serializer_says(self):
        class Inner(serializers.Serializer):
            at = serializers.DateTimeField()

        class Answer(serializers.Serializer):
            id = serializers.UUIDField()
            name = serializers.CharField(source="title")
            kind = serializers.CharField()
            count = serializers.IntegerField()
            ratio = serializers.DecimalField(max_digits=5, decimal_places=2)
            is_open = serializers.BooleanField()
            day = serializers.DateTimeField(format="%Y")
            gone_at = serializers.DateTimeField(allow_null=True)
            inner = Inner()
            none = Inner(source="gone_at")
            deep = serializers.CharField(source="inner.at")
            doubled = serializers.SerializerMethodField()
            secret = serializers.CharField(write_only=True)

            def get_doubled(self, thing):
                return 2 * thing.count

        thing = SimpleNamespace(
            id=UUID(int=7),
            title="One",
            kind=lambda: "called",
            count=3,
            ratio=Decimal("1.5"),
            is_open=True,
            day=datetime(2026, 1, 1, tzinfo=UTC),
            gone_at=None,
            inner=SimpleNamespace(at=datetime(2026, 1, 1, 12, 30, 1, 5, tzinfo=UTC)),
            secret="hidden",
        )
        other = SimpleNamespace(**vars(thing) | {"title": Size.LARGE, "count": "4"})
        for each in (thing, other, thing):
            render = JSONRenderer().render
            assert render(represent(Answer, each)) == render(Answer(each).data)

    def test_a_field_that_may_be_missing_is_left_out(self):
        class Answer(serializers.Serializer):
            name = serializers.CharField()
            nickname = serializers.CharField(required=False)

        assert represent(Answer, SimpleNamespace(name="Alice")) == {"name": "Alice"}
