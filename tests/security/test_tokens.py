"""Tokens that are almost right. Each is refused with 401 `invalid_token`; none is answered with 500."""

import base64
import hashlib
import hmac
import json
import time
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from django.test import Client

from accounts.keys import key_ring, public_jwk
from accounts.tokens import REMEMBERED_TOKENS, _verified
from tests.accounts.asking import assert_refused
from tests.conftest import Api

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def encode(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def sign(header, payload, key=None):
    """A compact JWS of any header and payload, as objects or as the bytes themselves, signed by our key."""
    key = key or key_ring().private[key_ring().active.kid]
    message = f"{encode(header)}.{encode(payload)}"
    signature = key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{message}.{encode(signature)}"


class Forger:
    """Changes a valid access token, and signs it with our own key unless told otherwise."""

    def __init__(self, token):
        self.token = token
        head, body, self.signature = token.split(".")
        self.header, self.claims = decode(head), decode(body)

    def with_header(self, **changes):
        return sign(without_none(self.header | changes), self.claims)

    def with_claims(self, **changes):
        return sign(self.header, without_none(self.claims | changes))


def without_none(values):
    return {name: value for name, value in values.items() if value is not None}


@pytest.fixture
def forger(alice):
    return Forger(alice.access_token)


def assert_invalid(token):
    response = Api(token).get("/users/me")
    assert_refused(response, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_token_signed_here_without_a_change_is_valid(forger):
    """Or the refusals below would prove nothing."""
    assert forger.with_claims() != forger.token
    for token in (forger.with_claims(), forger.with_header(), forger.with_header(typ="AT+JWT")):
        assert Api(token).get("/users/me").status_code == 200


class TestSignature:
    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
    def test_none(self, forger, algorithm):
        head = encode(forger.header | {"alg": algorithm})
        for signature in ("", forger.signature):
            assert_invalid(f"{head}.{encode(forger.claims)}.{signature}")

    @pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
    def test_hmac_with_the_public_key(self, forger, algorithm):
        public = key_ring().public[forger.header["kid"]]
        subject_public_key = serialization.PublicFormat.SubjectPublicKeyInfo
        secrets = [
            public.public_bytes(serialization.Encoding.PEM, subject_public_key),
            public.public_bytes(serialization.Encoding.PEM, subject_public_key).strip(),
            public.public_bytes(serialization.Encoding.DER, subject_public_key),
            json.dumps(public_jwk(public)).encode(),
            b"",
        ]
        message = f"{encode(forger.header | {'alg': algorithm})}.{encode(forger.claims)}"
        digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[algorithm]
        for secret in secrets:
            assert_invalid(f"{message}.{encode(hmac.digest(secret, message.encode(), digest))}")

    @pytest.mark.parametrize(
        "algorithm", ["RS384", "RS512", "PS256", "ES256", "EdDSA", "rs256", 5, None, ["RS256"]]
    )
    def test_another_algorithm_in_the_header(self, forger, algorithm):
        assert_invalid(forger.with_header(alg=algorithm))

    def test_another_key(self, forger):
        stranger = generate_private_key(public_exponent=65537, key_size=2048)
        assert_invalid(sign(forger.header, forger.claims, stranger))

    def test_changed_claims(self, forger):
        head, _, signature = forger.token.split(".")
        body = encode(forger.claims | {"org_id": str(uuid4())})
        assert_invalid(f"{head}.{body}.{signature}")

    def test_a_signature_of_something_else(self, forger, charlie):
        head, body, _ = forger.token.split(".")
        assert_invalid(f"{head}.{body}.{charlie.access_token.split('.')[2]}")


class TestHeader:
    @pytest.mark.parametrize(
        "kid", ["unknown", "", "../keys.json", "/dev/null", None, 5, True, ["a"], {"a": 1}, "ü"]
    )
    def test_unknown_kid(self, forger, kid):
        assert_invalid(forger.with_header(kid=kid))

    @pytest.mark.parametrize("typ", ["JWT", "rt+jwt", "application/at+jwt", "", None, 5, ["at+jwt"]])
    def test_wrong_typ(self, forger, typ):
        assert_invalid(forger.with_header(typ=typ))

    def test_keys_that_the_header_brings_are_not_used(self, forger):
        stranger = generate_private_key(public_exponent=65537, key_size=2048)
        brought = {
            "jwk": public_jwk(stranger.public_key()),
            "jku": "http://127.0.0.1:1/jwks.json",
            "x5u": "http://127.0.0.1:1/cert.pem",
            "x5c": ["MIIB"],
        }
        for name, value in brought.items():
            assert_invalid(sign(forger.header | {name: value}, forger.claims, stranger))
            assert_invalid(sign(forger.header | {name: value, "kid": "mine"}, forger.claims, stranger))

    @pytest.mark.parametrize("crit", [["exp"], ["b64"], [], "exp", 5])
    def test_an_extension_marked_critical(self, forger, crit):
        assert_invalid(forger.with_header(crit=crit))

    def test_an_extension_marked_critical_that_pyjwt_knows(self, forger):
        assert_invalid(forger.with_header(b64=True, crit=["b64"]))

    def test_a_detached_or_unencoded_payload(self, forger):
        assert_invalid(forger.with_header(b64=False, crit=["b64"]))

    @pytest.mark.parametrize(
        "header", [b"[]", b"5", b"null", b'"RS256"', b"", b"{", b"\xff", b'{"alg":"RS256"', b"[" * 1000]
    )
    def test_no_object(self, forger, header):
        assert_invalid(sign(header, forger.claims))

    def test_repeated_names(self, forger):
        header = json.dumps(forger.header)[:-1] + ', "alg": "none"}'
        assert_invalid(sign(header.encode(), forger.claims))


class TestClaims:
    @pytest.mark.parametrize(
        "aud", ["other", "", None, 5, True, ["saas-api"], ["saas-api", "other"], [], {"a": 1}]
    )
    def test_wrong_aud(self, forger, aud):
        assert_invalid(forger.with_claims(aud=aud))

    @pytest.mark.parametrize("iss", ["https://other.example", "", None, 5, ["http://localhost:8000"], {}])
    def test_wrong_iss(self, forger, iss):
        assert_invalid(forger.with_claims(iss=iss))

    @pytest.mark.parametrize("token_type", ["refresh", "", None, 5, ["access"]])
    def test_wrong_type(self, forger, token_type):
        assert_invalid(forger.with_claims(token_type=token_type))

    @pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
    @pytest.mark.parametrize(
        "value",
        [
            None,
            "9999999999",
            "soon",
            "",
            9999999999.5,
            -1,
            -(10**30),
            10**30,
            True,
            False,
            [],
            {},
            253402300800,
        ],
    )
    def test_a_time_that_is_none(self, forger, name, value):
        assert_invalid(forger.with_claims(**{name: value}))

    @pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"9" * 5000, b"null"])
    def test_a_time_that_is_no_number(self, forger, number):
        body = json.dumps(forger.claims | {"exp": "EXP"}).encode().replace(b'"EXP"', number)
        token = sign(forger.header, body)
        assert_invalid(token)

    def test_expired(self, forger):
        now = int(time.time())
        assert_invalid(forger.with_claims(exp=now - 31))
        assert_invalid(forger.with_claims(exp=0))

    @pytest.mark.parametrize("name", ["nbf", "iat"])
    def test_not_yet_valid(self, forger, name):
        assert_invalid(forger.with_claims(**{name: int(time.time()) + 60}))

    @pytest.mark.parametrize("name", ["user_id", "org_id", "sid", "jti", "sub"])
    @pytest.mark.parametrize("value", [None, "", "5", 5, True, "x" * 36, [], {}, "' OR 1=1", "ü", "\0"])
    def test_an_id_that_is_no_uuid(self, forger, name, value):
        assert_invalid(forger.with_claims(**{name: value}))

    @pytest.mark.parametrize("name", ["user_id", "org_id", "sid", "sub"])
    def test_an_id_of_somebody_else(self, forger, charlie, name):
        """Only we can sign such a token; the session's row refuses it all the same."""
        foreign = {
            "user_id": charlie.user.id,
            "sub": charlie.user.id,
            "org_id": charlie.organization_id,
            "sid": charlie.session_id,
        }
        assert_invalid(forger.with_claims(**{name: str(foreign[name])}))

    @pytest.mark.parametrize("name", ["user_id", "org_id", "sid", "jti"])
    def test_an_id_that_is_written_otherwise(self, forger, name):
        """Python's UUID takes many ways to write one; we write one."""
        value = forger.claims[name]
        for way in (f"urn:uuid:{value}", f"{{{value}}}", value.replace("-", ""), value.upper()):
            changes = {"sub": way} if name == "user_id" else {}
            assert_invalid(forger.with_claims(**{name: way}, **changes))

    @pytest.mark.parametrize("generation", ["1", 1.0, True, [1], 1, 2**70])
    def test_an_access_token_has_no_generation(self, forger, generation):
        assert_invalid(forger.with_claims(gen=generation))

    @pytest.mark.parametrize(
        "payload", [b"[]", b"5", b"null", b'"x"', b"", b"{", b"\xff\xfe", b"[" * 1000, b"{}"]
    )
    def test_no_object(self, forger, payload):
        assert_invalid(sign(forger.header, payload))

    def test_repeated_names(self, forger, charlie):
        """Two readers could understand it differently (RFC 7519, 4)."""
        body = json.dumps(forger.claims)
        for name, value in (
            ("exp", 9999999999),
            ("org_id", str(charlie.organization_id)),
            ("sub", forger.claims["sub"]),
        ):
            repeated = f'{{"{name}": {json.dumps(value)}, {body[1:]}'
            assert_invalid(sign(forger.header, repeated.encode()))


class TestKindOfToken:
    def test_a_refresh_token_gives_no_access(self, alice):
        assert_invalid(alice.refresh_token)

    def test_an_access_token_refreshes_nothing(self, alice):
        response = Api().post("/auth/refresh", {"refresh_token": alice.access_token})
        assert_refused(response, 401, "invalid_refresh_token")

    def test_nor_do_they_in_each_others_clothes(self, alice, forger):
        refresh = Forger(alice.refresh_token)
        assert_invalid(refresh.with_header(typ="at+jwt"))
        assert_invalid(refresh.with_claims(token_type="access"))
        for token in (forger.with_header(typ="rt+jwt"), forger.with_claims(token_type="refresh")):
            response = Api().post("/auth/refresh", {"refresh_token": token})
            assert_refused(response, 401, "invalid_refresh_token")

    def test_a_refresh_token_without_a_generation(self, alice):
        refresh = Forger(alice.refresh_token)
        for generation in (None, "1", 1.0, True, -1, 10**30, 0):
            response = Api().post("/auth/refresh", {"refresh_token": refresh.with_claims(gen=generation)})
            assert response.status_code == 401, generation
            assert response.json()["code"] in ("invalid_refresh_token", "refresh_token_reused")


class TestSerialization:
    def test_anything_around_it(self, forger):
        token = forger.token
        for changed in (
            token + "x",
            token + "=",
            token + "==",
            token + ".",
            "." + token,
            token + ".x",
            token + "\t",
            token + ",",
            token + " x",
            token + "%20",
            token + "\xa0",
            token + "\x85",
            "x" + token,
            f'"{token}"',
            token * 2,
            token.replace(".", " . "),
            token.replace(".", ".."),
            token[:-1],
            token[:-4],
            token[1:],
        ):
            assert_invalid(changed)

    def test_empty_parts(self, forger):
        head, body, signature = forger.token.split(".")
        for token in (
            "",
            ".",
            "..",
            "...",
            f"{head}..{signature}",
            f".{body}.{signature}",
            f"{head}.{body}.",
            f"{head}.{body}",
            head,
            f"{head}.{body}.{signature}.{signature}.{signature}",
        ):
            assert_invalid(token or " ")

    def test_base64_that_is_not_canonical(self, forger):
        """The last character carries bits that a lenient decoder throws away."""
        last = ALPHABET.index(forger.token[-1])
        for position in {last ^ 1, last ^ 2, last ^ 3}:
            assert_invalid(forger.token[:-1] + ALPHABET[position])

    def test_base64_of_the_other_alphabet_or_with_padding(self, forger):
        head, body, signature = forger.token.split(".")
        assert_invalid(f"{head}=.{body}.{signature}")
        assert_invalid(f"{head}.{body}=.{signature}")
        assert_invalid(f"{head}.{body}.{signature}==")
        assert_invalid(f"{head}.{body}.{signature[:5]}\n{signature[5:]}")
        assert_invalid(f"{head}.{body}.{signature[:5]}!{signature[5:]}")
        plus = next(token for token in signatures(forger) if "-" in token or "_" in token)
        assert_invalid(plus.replace("-", "+").replace("_", "/"))

    def test_a_huge_token(self, forger):
        assert_invalid(forger.with_claims(more="x" * 10_000))
        assert_invalid("a." * 30_000)
        assert_invalid("x" * 60_000)

    @pytest.mark.parametrize("text", ["ü", "\xff\xfe", "日本", "a.ü.b", "\x7f", "٣.٣.٣"])
    def test_other_than_ascii(self, forger, text):
        assert_invalid(text)
        assert_invalid(forger.token + text)

    @pytest.mark.parametrize(
        "header",
        [
            "Bearer",
            "Bearer ",
            "bearer",
            "Basic {}",
            "Token {}",
            "{}",
            "Bearer\t{}",
            "Bearer: {}",
            "Bearer {},{}",
        ],
    )
    def test_another_scheme(self, forger, header):
        value = header.replace("{}", forger.token)
        assert_refused(Client().get("/users/me", headers={"Authorization": value}), 401, "invalid_token")

    @pytest.mark.parametrize("header", ["bearer {}", "BEARER {}", "Bearer   {}"])
    def test_the_scheme_has_no_case(self, forger, header):
        value = header.replace("{}", forger.token)
        assert Client().get("/users/me", headers={"Authorization": value}).status_code == 200

    def test_a_token_elsewhere_is_not_looked_at(self, forger):
        assert_refused(Client().get(f"/users/me?access_token={forger.token}"), 401, "not_authenticated")


def signatures(forger):
    for number in range(50):
        yield forger.with_claims(jti=str(uuid4()), n=number)


class TestRemembered:
    """A token that was verified before is not verified again, and still dies when it should."""

    def test_it_works(self, alice):
        before = _verified.cache_info()
        assert [alice.api.get("/users/me").status_code for _ in range(3)] == [200] * 3
        after = _verified.cache_info()
        assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)

    def test_it_expires(self, alice, fake_clock):
        assert alice.api.get("/users/me").status_code == 200
        fake_clock.advance(minutes=15, seconds=9)
        assert alice.api.get("/users/me").status_code == 200
        fake_clock.advance(seconds=2)
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")

    def test_one_that_differs_by_a_character_is_verified(self, alice, forger):
        assert alice.api.get("/users/me").status_code == 200
        head, body, signature = alice.access_token.split(".")
        changed = "A" if signature[0] != "A" else "B"
        other = f"{head}.{body}.{changed}{signature[1:]}"
        for _ in range(2):
            assert_refused(Api(other).get("/users/me"), 401, "invalid_token")

    def test_no_more_are_kept_than_fit(self):
        assert _verified.cache_info().maxsize == REMEMBERED_TOKENS == 2048
