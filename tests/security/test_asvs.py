"""What OWASP's ASVS 5.0 asks for and no other test looks at."""

import logging
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.conf import settings
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.test import Client
from django.urls import get_resolver

from accounts.keys import KeyDirectory
from saas.kit import rate_limits
from saas.kit.pages import is_page
from support.services import second_factor
from tests.conftest import PASSWORD, manage
from tests.pages.browsing import Browser, browser_of
from tests.project.test_documents import READ
from tests.support.conftest import desk, sam  # noqa: F401 (fixtures)

ROOT = settings.BASE_DIR
SOME_ID = "00000000-0000-4000-8000-000000000000"
CONVERTER = re.compile(r"<(?:\w+:)?\w+>")
INPUT = re.compile(r"<input\b[^>]*>")
PASSWORD_NAME = re.compile(r'name="\w*password"')


def paths(entries, before="/"):
    for entry in entries:
        path = before + str(entry.pattern)
        yield from (
            paths(entry.url_patterns, path) if hasattr(entry, "url_patterns") else [(path, entry.callback)]
        )


ALL = [(CONVERTER.sub(SOME_ID, path), view) for path, view in paths(get_resolver("saas.urls").url_patterns)]
PAGES = [path for path, view in ALL if is_page(view) and "get" in view.methods]


class TestMethods:
    """V13.4.4"""

    @pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "PROPFIND"])
    def test_none_is_taken_that_no_route_has(self, method):
        assert len(ALL) > 60
        client = Client(headers={"X-Probe": "comes-back"})
        for path, _ in ALL:
            answer = client.generic(method, path)
            assert answer.status_code in (400, 401, 403, 404, 405, 415, 429), path
            assert b"comes-back" not in answer.content, path


class TestFiles:
    """V13.4.1 and V13.4.3"""

    @pytest.mark.parametrize(
        "path",
        [
            "/.git/HEAD",
            "/.git/",
            "/.env",
            "/manage.py",
            "/saas/settings.py",
            "/static/",
            "/static/css/",
            "/static/../saas/settings.py",
            "/static/%2e%2e/saas/settings.py",
            "/static//etc/passwd",
        ],
    )
    def test_what_lies_beside_the_code_is_not_there(self, path):
        assert Client().get(path).status_code == 404

    def test_the_image_holds_what_runs_and_no_more(self):
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        assert next(line for line in lines if line and line[0] not in "#!") == "*"
        assert not [line for line in lines if re.match(r"!/?(\.git|\.env|tests|bench|docs|\.local)", line)]


class TestCors:
    """V3.4.2"""

    @pytest.fixture(autouse=True)
    def installed(self, settings):
        """As the settings do where an origin is named."""
        settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]

    def ask(self, origin):
        return Client().options(
            "/users/me", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
        )

    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example", "https://front.example.evil.example", "null", "http://front.example"],
    )
    def test_another_origin_hears_nothing(self, settings, origin):
        settings.CORS_ALLOWED_ORIGINS = ["https://front.example"]
        assert not [name for name in self.ask(origin).headers if name.lower().startswith("access-control")]

    def test_one_that_is_named_does_and_sends_no_cookies(self, settings):
        settings.CORS_ALLOWED_ORIGINS = ["https://front.example"]
        headers = self.ask("https://front.example").headers
        assert headers["Access-Control-Allow-Origin"] == "https://front.example"
        assert "Access-Control-Allow-Credentials" not in headers

    def test_by_default_there_is_none(self):
        assert settings.CORS_ALLOWED_ORIGINS == []
        assert "Access-Control-Allow-Origin" not in self.ask("https://front.example").headers


class TestPasswordFields:
    """V6.2.6 and V6.2.7"""

    @pytest.mark.parametrize(
        ("path", "count"),
        [("/login", 1), ("/register", 1), ("/reset-password?token=x", 1)],
    )
    def test_a_strangers(self, path, count):
        self.look(Browser().get(path).text, count)

    def test_ones_own(self, alice):
        self.look(browser_of(alice).get("/account/password").text, 2)

    def test_the_staffs(self, sam):  # noqa: F811
        self.look(sam.get("/admin/login").content.decode(), 1)

    def look(self, page, count):
        fields = [field for field in INPUT.findall(page) if PASSWORD_NAME.search(field)]
        assert len(fields) == count
        for field in fields:
            assert 'type="password"' in field
            assert re.search(r'autocomplete="(?:current|new)-password"', field)
        assert "onpaste" not in page


class TestPasswords:
    def test_one_is_good_for_as_long_as_nobody_changes_it(self, alice, anonymous, fake_clock):
        """V6.2.10"""
        fake_clock.advance(days=2000)
        answer = anonymous.post("/auth/login", {"email": alice.user.email, "password": PASSWORD})
        assert answer.status_code == 200

    def test_the_list_of_common_ones_has_enough_that_are_long_enough(self):
        """V6.2.4 asks for 3,000."""
        assert sum(len(password) >= 8 for password in CommonPasswordValidator().passwords) > 8000


class TestLogOut:
    """V7.4.4"""

    @pytest.mark.parametrize("path", [path for path in PAGES if "/:" not in path])
    def test_each_page_has_it(self, alice, path):
        answer = browser_of(alice).get(path)
        # A page that leads on has none, and one that could not be made leads back to one that has.
        assert answer.status_code >= 300 or 'action="/logout"' in answer.text

    def test_the_admin_has_it(self, desk):  # noqa: F811
        assert 'action="/admin/logout"' in desk.get("/admin").content.decode()


class TestStrength:
    """V6.5.2, V6.5.3, V11.2.3 and V11.5.1"""

    def test_a_signing_key_has_128_bits(self, tmp_path):
        directory = KeyDirectory(tmp_path)
        record = directory.generate()
        key = directory.ring().private[record.kid]
        assert isinstance(key, RSAPrivateKey)
        assert (key.key_size, key.public_key().public_numbers().e) == (3072, 65537)

    def test_a_recovery_code_and_a_seed_have_128_bits(self):
        assert len(set(second_factor.RECOVERY_ALPHABET)) ** second_factor.RECOVERY_LENGTH > 2**128
        codes = {second_factor._random_code() for _ in range(50)}
        assert len(codes) == 50
        assert {len(code) for code in codes} == {second_factor.RECOVERY_LENGTH}
        seed = second_factor.unseal(second_factor.SEALED_FOR, second_factor._new_secret())
        assert len(seed) * 5 > 128

    def test_bcrypt_costs_what_it_should(self, monkeypatch):
        monkeypatch.delenv("BCRYPT_ROUNDS")
        script = "from django.contrib.auth.hashers import get_hasher as g; print(g().algorithm, g().rounds)"
        shown = manage("shell", "--no-imports", "-c", script, DEPLOYMENT_ENV="production").stdout
        assert shown.split() == ["bcrypt_sha256", "12"]


class TestLogs:
    def test_they_go_to_one_place(self):
        """V16.2.3"""
        assert list(settings.LOGGING["handlers"]) == ["stderr"]
        assert settings.LOGGING["handlers"]["stderr"]["class"] == "logging.StreamHandler"
        assert settings.LOGGING["root"]["handlers"] == ["stderr"]
        assert all("handlers" not in logger for logger in settings.LOGGING["loggers"].values())

    @pytest.mark.parametrize(
        ("ask", "code"),
        [
            (lambda bob: bob.api.get("/users/org"), "insufficient_role"),
            (lambda bob: bob.api.patch("/users/me", {"role": "owner"}), "validation_failed"),
            (lambda bob: bob.api.delete(f"/auth/sessions/{SOME_ID}"), "not_found"),
            (lambda bob: browser_of(bob).post("/account", {"name": "B"}), "csrf_failed"),
        ],
    )  # fmt: skip
    def test_who_tries_what_they_may_not_is_in_them(self, bob, caplog, ask, code):
        """V16.3.2 and V16.3.3"""
        caplog.set_level(logging.INFO, "saas.access")
        status = ask(bob).status_code
        [line] = [record for record in caplog.records if getattr(record, "code", "") == code]
        assert line.status == status >= 400
        assert line.user_id == str(bob.user.id)
        assert line.organization_id == str(bob.organization_id)


class TestDocuments:
    def test_every_limit_is_told(self):
        """V2.1.3"""
        text = (ROOT / "docs" / "auth.md").read_text().partition("## Limits")[2].partition("\n## ")[0]
        limits = [each for each in vars(rate_limits).values() if isinstance(each, rate_limits.Limit)]
        assert len(limits) > 7
        for limit in limits:
            assert re.search(rf"\b{limit.amount:,}\b", text), limit
            assert f"`{limit.name}`" in text, limit

    def test_every_secret_is_in_the_inventory(self):
        """V11.1.2 and V13.1.4"""
        inventory = (ROOT / "docs" / "security.md").read_text().partition("## Keys")[2].partition("\n## ")[0]
        read = set(READ.findall((ROOT / "saas" / "settings.py").read_text()))
        named = {name for name in read if re.search(r"SECRET|KEY|TOKEN|_URL|DSN", name)} | {
            *settings.DATABASE_ROLES.values()
        }
        secret = named - {"PUBLIC_URL", "SENDGRID_API_URL", "REFRESH_TOKEN_DAYS"}
        assert {"SECRET_KEY", "DATABASE_URL", "STRIPE_WEBHOOK_SECRET", "JWT_KEYS_DIR"} <= secret
        for name in secret:
            assert f"`{name}`" in inventory, name

    def test_every_sealed_or_signed_purpose_is_in_it(self):
        inventory = (ROOT / "docs" / "security.md").read_text()
        for algorithm in ("RS256", "AES-256-GCM-SIV", "HMAC-SHA256", "bcrypt", "HKDF"):
            assert algorithm in inventory, algorithm
