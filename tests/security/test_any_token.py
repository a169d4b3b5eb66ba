"""Random tokens, and every route with a forged one: the answer is "no", the same everywhere, and no fault of ours."""

import json

import pytest
from django.urls import get_resolver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.tokens import InvalidToken, verify_access_token
from saas.kit.pages import is_page
from tests.accounts.asking import assert_refused, patterns
from tests.conftest import Api
from tests.isolation.test_routes import PUBLIC, methods_of
from tests.security.test_forgeries import message_of
from tests.security.test_tokens import Forger, encode, sign, without_none

NOBODY = "00000000-0000-4000-8000-000000000000"
bounded = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def forger(alice):
    return Forger(alice.access_token)


class TestEveryRoute:
    def test_a_forged_token_opens_none_and_all_say_the_same(self, forger):
        """Unsigned, with a signature of other claims, and one that ran out."""
        tokens = [
            f"{message_of(forger.header | {'alg': 'none'}, forger.claims)}.",
            f"{message_of(forger.header, forger.claims | {'org_id': NOBODY})}.{forger.signature}",
            forger.with_claims(exp=1),
        ]
        bodies, asked = set(), 0
        for path, method in guarded_routes():
            for token in tokens:
                answer = getattr(Api(token), method)(path)
                assert_refused(answer, 401, "invalid_token")
                body = answer.json()
                bodies.add(json.dumps({k: v for k, v in body.items() if k not in ("instance", "request_id")}))
                asked += 1
        assert asked >= 3 * 15
        assert len(bodies) == 1


def guarded_routes():
    for pattern in patterns(get_resolver("saas.urls").url_patterns):
        methods = methods_of(pattern.callback)
        if pattern.name in PUBLIC or is_page(pattern.callback) or methods is None:
            continue
        path = "/" + str(pattern.pattern).replace("<uuid:id>", NOBODY)
        yield from ((path, method) for method in methods)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
HEADER_NAMES = ("alg", "kid", "typ", "crit", "b64", "jwk", "x5c", "zip", "enc", "cty")
CLAIM_NAMES = (
    "exp",
    "iat",
    "nbf",
    "iss",
    "aud",
    "sub",
    "user_id",
    "org_id",
    "sid",
    "jti",
    "token_type",
    "act",
)


class TestAnything:
    """Whatever stands in a token, the answer is "no" and never a fault of ours; with our own signature on it."""

    @bounded
    @given(st.sampled_from(HEADER_NAMES[:4]), json_values)
    def test_in_the_header(self, alice, name, value):
        forger = Forger(alice.access_token)
        if forger.header.get(name) == value:
            return
        with pytest.raises(InvalidToken):
            verify_access_token(sign(without_none(forger.header | {name: value}), forger.claims))

    @bounded
    @given(st.sampled_from(CLAIM_NAMES), json_values)
    def test_in_a_claim(self, alice, name, value):
        answer = Api(Forger(alice.access_token).with_claims(**{name: value})).get("/users/me")
        assert answer.status_code in (200, 401), answer.content
        if name not in ("act", "iat", "nbf"):
            assert_refused(answer, 401, "invalid_token")

    @settings(bounded, max_examples=400)
    @given(st.data())
    def test_a_character_that_is_another(self, alice, data):
        token = alice.access_token
        place = data.draw(st.integers(0, len(token) - 1))
        character = data.draw(st.characters(max_codepoint=255).filter(lambda one: one != token[place]))
        with pytest.raises(InvalidToken):
            verify_access_token(token[:place] + character + token[place + 1 :])

    @settings(bounded, max_examples=200)
    @given(st.text(max_size=300) | st.lists(st.binary(max_size=60).map(encode), max_size=6).map(".".join))
    def test_text(self, text):
        with pytest.raises(InvalidToken):
            verify_access_token(text)
