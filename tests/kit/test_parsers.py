from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saas.kit.errors import MalformedRequest
from saas.kit.parsers import MAX_DEPTH, StrictJSONParser


def parse(body):
    return StrictJSONParser().parse(BytesIO(body))


class TestStrictJSONParser:
    def test_it_reads_an_object(self):
        assert parse('{"name": "Ünï 🎈", "n": [1, 2.5, null, true]}'.encode()) == {
            "name": "Ünï 🎈",
            "n": [1, 2.5, None, True],
        }

    def test_it_reads_whole_surrogate_pairs(self):
        assert parse(rb'{"a": "\ud83c\udf88"}') == {"a": "🎈"}

    def test_it_takes_a_literal_backslash_u0000_for_text(self):
        assert parse(rb'{"a": "\\u0000"}') == {"a": r"\u0000"}

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b" ",
            b"nonsense",
            b'{"a": 1',
            b'{"a": 1} x',
            b"[]",
            b'"text"',
            b"null",
            b"1",
            b'{"a": 1, "a": 2}',
            b'{"b": {"a": 1, "a": 1}}',
            rb'{"a": 1, "\u0061": 2}',
            b'{"a": NaN}',
            b'{"a": -Infinity}',
            b'{"a": 1e999}',
            b'{"a": 1' + b"0" * 5000 + b"}",
            rb'{"a": "\u0000"}',
            b'{"a": "\x00"}',
            rb'{"a": ["\ud800"]}',
            rb'{"\ud800": 1}',
            rb'{"a\u0000": 1}',
            '{"a": "é"}'.encode("latin-1"),
            '{"a": 1}'.encode("utf-16"),
            b'\xef\xbb\xbf{"a": 1}',
            b'{"a": "line\nbreak"}',
            b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
            b'{"a": ' + b"[" * 60_000,
            b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        ],
    )
    def test_it_refuses(self, body):
        with pytest.raises(MalformedRequest):
            parse(body)

    @given(st.binary(max_size=200))
    def test_it_never_fails_otherwise(self, body):
        with suppress(MalformedRequest):
            assert isinstance(parse(body), dict)
