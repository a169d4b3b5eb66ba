import base64
import json
import stat
from argparse import Namespace
from hashlib import sha256

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.keys import _private_key, key_directory, key_ring
from tests.accounts.asking import assert_refused
from tests.conftest import PASSWORD, Api, manage


@pytest.fixture
def keys(settings, tmp_path, capsys):
    """A key directory of this test's own, and the command that tends it."""
    settings.JWT_KEYS_DIR = tmp_path / "keys"

    def command(*arguments):
        capsys.readouterr()
        call_command("jwt_keys", *arguments)
        return capsys.readouterr().out

    command("generate")
    return Namespace(path=settings.JWT_KEYS_DIR, command=command, first=key_ring().active.kid)


def published():
    response = Client().get("/.well-known/jwks.json")
    assert response.status_code == 200
    return {key["kid"]: key for key in response.json()["keys"]}


def kid_of(token):
    return jwt.get_unverified_header(token)["kid"]


def log_in():
    return Api().post("/auth/login", {"email": "alice@acme.example", "password": PASSWORD}).json()


class TestJwks:
    def test_it_works(self, keys):
        response = Client().get("/.well-known/jwks.json")

        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Cache-Control"] == "public, max-age=600"
        [key] = response.json()["keys"]
        assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
        assert (key["kty"], key["use"], key["alg"], key["e"]) == ("RSA", "sig", "RS256", "AQAB")

    def test_a_stranger_can_verify_tokens_with_it(self, keys, alice, settings):
        key = jwt.PyJWK(published()[kid_of(alice.access_token)])

        claims = jwt.decode(
            alice.access_token,
            key,
            algorithms=["RS256"],
            audience=settings.JWT_AUDIENCE,
            issuer=settings.JWT_ISSUER,
        )

        assert claims["sub"] == str(alice.user.id)
        assert claims["exp"] - claims["iat"] == 15 * 60
        assert set(claims) == {
            "iss",
            "aud",
            "sub",
            "user_id",
            "org_id",
            "sid",
            "jti",
            "iat",
            "nbf",
            "exp",
            "token_type",
        }
        assert jwt.get_unverified_header(alice.access_token) == {
            "alg": "RS256",
            "typ": "at+jwt",
            "kid": keys.first,
        }

    def test_its_ids_are_thumbprints(self, keys):
        """RFC 7638: SHA-256 over the required members in order."""
        for kid, key in published().items():
            members = f'{{"e":"{key["e"]}","kty":"RSA","n":"{key["n"]}"}}'
            digest = base64.urlsafe_b64encode(sha256(members.encode()).digest())
            assert kid == digest.decode().rstrip("=")


class TestRotation:
    def test_nobody_is_logged_out(self, keys, alice, fake_clock):
        new = keys.command("generate").split()[0]
        assert set(published()) == {keys.first, new}
        assert kid_of(log_in()["access_token"]) == keys.first

        keys.command("activate", new)

        assert kid_of(log_in()["access_token"]) == new
        assert kid_of(log_in()["refresh_token"]) == new
        assert alice.api.get("/users/me").status_code == 200
        refreshed = Api().post("/auth/refresh", {"refresh_token": alice.refresh_token})
        assert refreshed.status_code == 200
        assert kid_of(refreshed.json()["access_token"]) == new
        assert set(published()) == {keys.first, new}

    def test_a_key_is_kept_while_its_tokens_live(self, keys, alice, fake_clock):
        keys.command("activate", keys.command("generate").split()[0])

        with pytest.raises(CommandError, match="--force"):
            keys.command("retire", keys.first)
        assert alice.api.get("/users/me").status_code == 200

        fake_clock.advance(days=30, seconds=1)
        keys.command("retire", keys.first)
        assert keys.first not in published()

    def test_force_logs_out_whoever_has_a_token_of_it(self, keys, alice):
        keys.command("activate", keys.command("generate").split()[0])
        assert alice.api.get("/users/me").status_code == 200

        keys.command("retire", keys.first, "--force")

        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")
        refreshed = Api().post("/auth/refresh", {"refresh_token": alice.refresh_token})
        assert_refused(refreshed, 401, "invalid_refresh_token")
        assert not (keys.path / f"{keys.first}.pem").exists()
        assert Api(log_in()["access_token"]).get("/users/me").status_code == 200

    def test_a_key_may_become_active_again(self, keys):
        new = keys.command("generate").split()[0]
        keys.command("activate", new)

        keys.command("activate", keys.first)

        states = {record.kid: record.state for record in key_ring().records.values()}
        assert states == {keys.first: "active", new: "retiring"}

    def test_another_process_rotates_and_this_one_sees_it(self, keys, alice):
        directory = {"JWT_KEYS_DIR": str(keys.path)}
        new = manage("jwt_keys", "generate", **directory).stdout.split()[0]
        manage("jwt_keys", "activate", new, **directory)

        assert kid_of(log_in()["access_token"]) == new
        assert alice.api.get("/users/me").status_code == 200


class TestCommand:
    def test_generate_if_missing(self, keys):
        assert keys.command("generate", "--if-missing") == ""
        assert list(published()) == [keys.first]

    def test_list(self, keys):
        new = keys.command("generate").split()[0]
        lines = [line.split()[:2] for line in keys.command("list").splitlines()]
        assert lines == [[keys.first, "active"], [new, "published"]]

    def test_the_active_key_is_not_retired(self, keys):
        for arguments in (["retire", keys.first], ["retire", keys.first, "--force"]):
            with pytest.raises(CommandError, match="active"):
                keys.command(*arguments)

    def test_a_key_that_never_signed_is_retired_at_once(self, keys):
        new = keys.command("generate").split()[0]
        keys.command("retire", new)
        assert list(published()) == [keys.first]

    @pytest.mark.parametrize("action", ["activate", "retire"])
    def test_an_unknown_key(self, keys, action):
        with pytest.raises(CommandError, match="no key 'nothing'"):
            keys.command(action, "nothing")

    def test_activating_the_active_key_changes_nothing(self, keys):
        before = (keys.path / "keys.json").read_bytes()
        keys.command("activate", keys.first)
        assert (keys.path / "keys.json").read_bytes() == before

    def test_nobody_else_can_read_the_files(self, keys):
        assert stat.S_IMODE(keys.path.stat().st_mode) == 0o700
        for file in keys.path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert b"PRIVATE" not in (keys.path / "keys.json").read_bytes()


class TestKeyDirectory:
    def test_without_keys_it_says_what_to_do(self, settings, tmp_path):
        settings.JWT_KEYS_DIR = tmp_path
        with pytest.raises(ImproperlyConfigured, match="jwt_keys generate"):
            key_ring()

    def test_it_refuses_a_file_that_is_no_rsa_key(self, keys):
        pem = generate_private_key(SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (keys.path / "curve.pem").write_bytes(pem)
        entry = {"kid": "curve", "state": "published", "created_at": 0}
        (keys.path / "keys.json").write_text(json.dumps([entry]))
        with pytest.raises(ImproperlyConfigured, match="not an RSA key"):
            key_ring()

    def test_the_ring_is_read_once_while_nothing_changes(self, keys):
        assert key_directory().ring() is key_directory().ring()

    def test_no_id_looks_like_an_option(self, monkeypatch):
        ids = iter(["-starts-with-a-dash", "fine"])
        monkeypatch.setattr("accounts.keys.thumbprint", lambda key: next(ids))
        assert _private_key()
        assert next(ids, None) is None
