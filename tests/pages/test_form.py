"""The form of a page by itself: what it keeps, what it forgets, what it is not for."""

import pytest
from django.test import RequestFactory

from accounts.api.serializers import LoginRequest, PasswordChange
from saas.kit.errors import NotFound
from saas.kit.pages import Form

TYPED = {
    "email": "ada@acme.example",
    "password": "secret-1",
    "current_password": "secret-2",
    "new_password": "secret-3",
}


def form(serializer, data=TYPED, **options):
    return Form(RequestFactory().post("/", data), serializer, **options)


def test_it_keeps_what_was_typed_and_no_password():
    assert form(LoginRequest).values == {"email": "ada@acme.example"}
    assert form(PasswordChange).values == {}
    assert form(LoginRequest).read() == {"email": "ada@acme.example", "password": "secret-1"}


def test_it_takes_no_field_that_is_not_its_own():
    assert form(LoginRequest, {**TYPED, "role": "owner"}).sent.keys() == {"email", "password"}


def test_what_is_wrong_with_no_field_of_it_stands_above():
    bound = form(LoginRequest, {"email": "", "password": ""})
    with bound.refusals():
        bound.read()
    assert bound.errors.keys() == {"email", "password"}
    assert (bound.status, bound.error) == (422, "")


def test_what_is_not_there_has_no_form():
    with pytest.raises(NotFound), form(LoginRequest).refusals():
        raise NotFound
