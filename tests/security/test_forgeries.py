"""Tokens that somebody made who knows JOSE well; test_tokens.py has the everyday ones. None is told from another."""

import hashlib
import hmac
import json
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings as django_settings
from jwt.utils import base64url_decode

from accounts.keys import key_ring
from accounts.links import LIFETIMES, make_link
from tests.accounts.asking import assert_refused
from tests.conftest import Api
from tests.security.test_tokens import Forger, assert_invalid, encode, sign

DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
OUR_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


@pytest.fixture
def forger(alice):
    return Forger(alice.access_token)


@pytest.fixture
def ours():
    return key_ring().private[key_ring().active.kid]


def message_of(header, claims):
    return f"{encode(header)}.{encode(claims)}"


def signature_of(forger):
    return int.from_bytes(base64url_decode(forger.signature))


class TestSignature:
    @pytest.mark.parametrize("algorithm", ["nOnE", "NoNe", "none ", "no\u0000ne", "ｎｏｎｅ"])
    def test_none_in_disguise(self, forger, algorithm):
        message = message_of(forger.header | {"alg": algorithm}, forger.claims)
        for signature in ("", forger.signature, "AA"):
            assert_invalid(f"{message}.{signature}")

    @pytest.mark.parametrize("algorithm", DIGESTS)
    def test_a_secret_of_ours_that_is_for_something_else(self, forger, algorithm):
        secrets = [django_settings.SECRET_KEY.encode(), forger.header["kid"].encode()]
        for key in os.environ["TENANCY_CONTEXT_KEYS"].split(","):
            secrets += [key.encode(), bytes.fromhex(key)]
        message = message_of(forger.header | {"alg": algorithm}, forger.claims)
        for secret in secrets:
            made = hmac.digest(secret, message.encode(), DIGESTS[algorithm])
            assert_invalid(f"{message}.{encode(made)}")

    @pytest.mark.parametrize("named", ["own", "RS256"])
    @pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
    def test_our_key_with_another_algorithm(self, forger, ours, algorithm, named):
        header = forger.header | {"alg": algorithm if named == "own" else named}
        message = message_of(header, forger.claims)
        digest = OUR_HASHES[algorithm[2:]]
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        signature = ours.sign(
            message.encode(), pss if algorithm.startswith("PS") else padding.PKCS1v15(), digest
        )
        assert_invalid(f"{message}.{encode(signature)}")

    def test_our_key_over_less_than_the_whole(self, forger, ours):
        head, body, _ = forger.token.split(".")
        for part in (head, body, f"{head}.", f".{body}", f"{head}{body}", ""):
            signature = ours.sign(part.encode(), padding.PKCS1v15(), hashes.SHA256())
            assert_invalid(f"{head}.{body}.{encode(signature)}")

    @pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "ES256K", "EdDSA", "RS256"])
    @pytest.mark.parametrize(
        "zeros", [bytes(64), bytes(96), bytes(256), bytes.fromhex("3006020100020100"), b"\0"]
    )
    def test_zeros(self, forger, algorithm, zeros):
        """ECDSA with r = s = 0 passes wherever the range is not checked."""
        message = message_of(forger.header | {"alg": algorithm}, forger.claims)
        assert_invalid(f"{message}.{encode(zeros)}")

    def test_the_same_number_in_other_words(self, forger, ours):
        """RSA computes modulo n: s + n, or s with zeros before it, would be second signatures of one message."""
        public = ours.public_key().public_numbers()
        signature, size = signature_of(forger), ours.key_size // 8
        message = forger.token.rpartition(".")[0]
        forged = [
            (signature + public.n).to_bytes(size + 1),
            signature.to_bytes(size + 1),
            public.n.to_bytes(size),
            (public.n - signature).to_bytes(size),
            (1).to_bytes(size),
            (public.n - 1).to_bytes(size),
            b"\xff" * size,
        ]
        if signature + public.n < 1 << ours.key_size:
            forged.append((signature + public.n).to_bytes(size))
        for each in forged:
            assert_invalid(f"{message}.{encode(each)}")

    def test_a_curves_signature_with_a_key_that_the_header_brings(self, forger):
        stranger = ec.generate_private_key(ec.SECP256R1())
        point = stranger.public_key().public_numbers()
        jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": encode(point.x.to_bytes(32)),
            "y": encode(point.y.to_bytes(32)),
        }
        message = message_of(forger.header | {"alg": "ES256", "jwk": jwk}, forger.claims)
        r, s = utils.decode_dss_signature(stranger.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
        assert_invalid(f"{message}.{encode(r.to_bytes(32) + s.to_bytes(32))}")


class TestHeader:
    @pytest.mark.parametrize(
        "kid",
        [
            "x" * 2000,
            "a\0b",
            "' UNION SELECT 'secret' --",
            "../../../../dev/null",
            "file:///etc/passwd",
            "| cat /etc/passwd",
            "keys.json",
            "__class__",
            "$where",
            "{{7*7}}",
            [["a"]],
            {"$ne": None},
            1e300,
            False,
        ],
    )
    def test_a_kid_that_wants_to_be_more(self, forger, kid):
        assert_invalid(forger.with_header(kid=kid))

    def test_a_kid_that_is_nearly_one_of_ours(self, forger):
        kid = forger.header["kid"]
        for near in (
            f" {kid}",
            f"{kid} ",
            f"{kid}\n",
            f"{kid}\0",
            f"./{kid}",
            f"{kid}.pem",
            kid.swapcase(),
            [kid],
        ):
            assert_invalid(forger.with_header(kid=near))

    def test_names_that_are_the_same_once_read(self, forger):
        head = json.dumps(forger.header)
        for repeated in (r'"\u0061lg": "none"', r'"k\u0069d": "x"', '"typ": "rt+jwt"', '"kid": null'):
            assert_invalid(sign(f"{{{repeated}, {head[1:]}".encode(), forger.claims))

    @pytest.mark.parametrize("more", [{"zip": "DEF"}, {"enc": "A128GCM"}, {"cty": "JWT"}])
    def test_what_is_not_understood_changes_nothing_else(self, forger, more):
        """Such a name is no claim to trust: with our signature the token counts as read, with another not at all."""
        assert Api(forger.with_header(**more)).get("/users/me").status_code == 200
        head, body, _ = forger.with_header(**more).split(".")
        assert_invalid(f"{head}.{body}.{forger.signature}")


class TestSerialization:
    def test_a_token_in_a_token(self, forger):
        assert_invalid(sign(forger.header | {"cty": "JWT"}, forger.token.encode()))
        assert_invalid(sign(forger.header | {"cty": "JWT"}, forger.claims | {"sub": forger.token}))

    def test_an_encrypted_one(self, forger, ours):
        head = {"alg": "RSA-OAEP", "enc": "A256GCM", "kid": forger.header["kid"], "typ": "at+jwt"}
        oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
        key, nonce = bytes(32), bytes(12)
        wrapped = encode(ours.public_key().encrypt(key, oaep))
        sealed = AESGCM(key).encrypt(nonce, json.dumps(forger.claims).encode(), encode(head).encode())
        parts = [encode(head), wrapped, encode(nonce), encode(sealed[:-16]), encode(sealed[-16:])]
        assert_invalid(".".join(parts))
        assert_invalid(".".join(parts[:3]))

    def test_the_json_serialization(self, forger):
        head, body, signature = forger.token.split(".")
        flat = {"protected": head, "payload": body, "signature": signature}
        for each in (flat, {"payload": body, "signatures": [{"protected": head, "signature": signature}]}):
            assert_invalid(json.dumps(each))
            assert_invalid(encode(each))

    def test_one_that_is_nested_deeply(self, forger):
        deep = b'{"a":' * 400 + b"1" + b"}" * 400
        for token in (sign(deep, forger.claims), sign(forger.header, deep)):
            assert_invalid(token)


class TestEncryption:
    """A token that says it is encrypted is none of ours, and nobody works for it."""

    @pytest.mark.parametrize(
        "algorithm", ["dir", "A128KW", "RSA1_5", "RSA-OAEP-256", "ECDH-ES", "PBES2-HS256+A128KW"]
    )
    def test_no_kind_of_it(self, forger, algorithm):
        # Whoever derives a key with these would be busy for an hour (CVE-2022-36083).
        header = forger.header | {"alg": algorithm, "enc": "A128GCM", "p2c": 2**31 - 1, "p2s": "AAAA"}
        header["epk"] = {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}
        head, body = message_of(header, forger.claims).split(".")
        for token in (f"{head}.{body}.AAAA.{body}.AAAA", f"{head}..AAAA.{body}.AAAA", f"{head}.{body}.AAAA"):
            assert_invalid(token)


class TestEncodings:
    """Signed by ourselves, so that nothing but the reading refuses them."""

    CHANGES = {
        "a BOM": lambda text: b"\xef\xbb\xbf" + text,
        "UTF-16": lambda text: text.decode().encode("utf-16"),
        "UTF-32": lambda text: text.decode().encode("utf-32-be"),
        "invalid UTF-8": lambda text: text[:-1] + b', "x": "\xff"}',
        "a lone surrogate": lambda text: text[:-1] + rb', "x": "\ud800"}',
        "a comment": lambda text: b"/* x */" + text,
        "one more object": lambda text: text + text,
        "a comma too many": lambda text: text[:-1] + b",}",
        "single quotes": lambda text: text.replace(b'"', b"'"),
        "NUL behind it": lambda text: text + b"\0",
        "a name twice, once escaped": lambda text: text[:-1] + rb', "\u006bid": "x", "\u0065xp": 9999999999}',
    }

    @pytest.mark.parametrize("what", CHANGES)
    def test_of_the_header(self, forger, what):
        assert_invalid(sign(self.CHANGES[what](json.dumps(forger.header).encode()), forger.claims))

    @pytest.mark.parametrize("what", CHANGES)
    def test_of_the_claims(self, forger, what):
        assert_invalid(sign(forger.header, self.CHANGES[what](json.dumps(forger.claims).encode())))

    def test_claims_in_the_header_count_for_nothing(self, forger):
        """RFC 7519, 5.3, lets them be repeated there."""
        header = forger.header | {
            "exp": 9999999999,
            "sub": forger.claims["sub"],
            "org_id": forger.claims["org_id"],
        }
        assert_invalid(sign(header, forger.claims | {"exp": 1}))
        without = {name: value for name, value in forger.claims.items() if name != "org_id"}
        assert_invalid(sign(header, without))


class TestSize:
    def test_a_mebibyte_is_refused_wherever_it_stands(self, alice):
        for token in ("x" * (1 << 20), "." * (1 << 20), f"{alice.access_token}{'A' * (1 << 20)}"):
            assert_invalid(token)
            for path, body in (
                ("/auth/refresh", {"refresh_token": token}),
                ("/auth/verify-email", {"token": token}),
                ("/auth/validate", {"token": token}),
            ):
                assert_refused(alice.api.post(path, body), 413, "payload_too_large")

    def test_nor_is_one_that_a_body_holds_looked_at(self, alice):
        token = "x" * 5000
        assert_refused(alice.api.post("/auth/validate", {"token": token}), 422, "validation_failed")


class TestOtherKinds:
    @pytest.mark.parametrize("purpose", LIFETIMES)
    def test_a_link_is_no_token(self, alice, purpose):
        url = make_link(purpose, organization_id=alice.organization_id, subject_id=alice.user.id)
        link = url.partition("token=")[2]
        assert_invalid(link)
        assert_refused(Api().post("/auth/refresh", {"refresh_token": link}), 401, "invalid_refresh_token")

    def test_a_token_is_no_link(self, alice):
        for token in (alice.access_token, alice.refresh_token):
            for path, more in (
                ("/auth/verify-email", {}),
                ("/auth/password/reset", {"password": "another-fine-secret"}),
                ("/invitations/accept", {"password": "another-fine-secret"}),
            ):
                answer = Api().post(path, {"token": token, **more})
                assert_refused(answer, 422, "validation_failed")
                assert answer.json()["errors"][0]["code"] == "invalid_link"

    def test_a_link_is_for_one_purpose(self, alice):
        paths = {
            "verify-email": "/auth/verify-email",
            "reset-password": "/auth/password/reset",
            "invitation": "/invitations/accept",
            "look": "/auth/look",
        }
        for purpose in LIFETIMES:
            url = make_link(purpose, organization_id=alice.organization_id, subject_id=alice.user.id)
            for other, path in paths.items():
                if other == purpose:
                    continue
                password = {} if other in ("verify-email", "look") else {"password": "another-fine-secret"}
                answer = Api().post(path, {"token": url.partition("token=")[2], **password})
                assert answer.status_code == 422, (purpose, other, answer.content)
