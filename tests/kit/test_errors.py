import pytest

from saas.kit.errors import (
    DomainError,
    FieldError,
    RateLimited,
    Unavailable,
    ValidationFailed,
    pointer,
    problem_type,
)


class SeatLimitReached(DomainError):
    code = "seat_limit_reached"
    status = 409
    detail = "All seats are taken."


class TestDomainError:
    def test_it_says_what_its_class_says(self):
        error = SeatLimitReached()
        assert (error.detail, error.headers, error.extra) == ("All seats are taken.", {}, {})

    def test_it_takes_a_sentence_headers_and_members_of_its_own(self):
        error = SeatLimitReached("All 5 seats are taken.", headers={"X-Seats": "5"}, limit=5)
        assert error.detail == str(error) == "All 5 seats are taken."
        assert (error.headers, error.extra) == ({"X-Seats": "5"}, {"limit": 5})

    def test_its_type_is_stable(self, settings):
        settings.PUBLIC_URL = "https://app.example.com"
        assert problem_type("not_found") == "https://app.example.com/problems/not_found"


class TestRetryAfter:
    @pytest.mark.parametrize(("seconds", "header"), [(0, "1"), (0.2, "1"), (1.2, "2"), (60, "60")])
    def test_it_is_whole_seconds_and_never_zero(self, seconds, header):
        assert RateLimited(seconds).headers == {"Retry-After": header}

    def test_rate_limited_keeps_the_headers_of_the_limit(self):
        error = RateLimited(3, headers={"RateLimit": '"anonymous";r=0;t=3'})
        assert error.headers == {"Retry-After": "3", "RateLimit": '"anonymous";r=0;t=3'}

    def test_unavailable_has_one(self):
        assert Unavailable().headers == {"Retry-After": "5"}


class TestFieldErrors:
    def test_a_field_of_the_body_has_a_pointer(self):
        error = ValidationFailed.of_field("items", "0", "name", code="blank", detail="Empty.")
        assert error.extra["errors"] == [{"pointer": "#/items/0/name", "code": "blank", "detail": "Empty."}]

    def test_a_query_parameter_has_its_name(self):
        error = FieldError(("limit",), "invalid", "No number.", in_query=True)
        assert error.as_json() == {"parameter": "limit", "code": "invalid", "detail": "No number."}

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ([], "#"),
            (["email"], "#/email"),
            (["a/b", "c~d"], "#/a~1b/c~0d"),
            (["é", "x y", '"'], "#/%C3%A9/x%20y/%22"),
        ],
    )
    def test_pointers_are_escaped(self, path, expected):
        assert pointer(path) == expected
