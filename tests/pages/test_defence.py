"""What keeps a page's session its owner's: cookies, forged requests, fixation, headers, hosts."""

import pytest
from django.conf import settings
from django.core import signing
from django.test import Client
from django.urls import get_resolver
from django_redis import get_redis_connection

from saas import access
from saas.kit.pages import is_page
from saas.kit.rate_limits import Limit
from tests.accounts.asking import patterns
from tests.conftest import PASSWORD, Api, manage
from tests.pages.browsing import SALT, TOKEN, Browser, assert_page, browser_of

NOBODY = "00000000-0000-4000-8000-000000000000"


def pages():
    return [each for each in patterns(get_resolver("saas.urls").url_patterns) if is_page(each.callback)]


def address(pattern):
    return "/" + str(pattern.pattern).replace("<uuid:id>", NOBODY)


POSTED = [pattern for pattern in pages() if "post" in pattern.callback.methods]
READ = [pattern for pattern in pages() if "get" in pattern.callback.methods]


class TestForgedRequests:
    @pytest.mark.parametrize("pattern", POSTED, ids=lambda each: each.name)
    def test_each_form_is_refused_without_its_token(self, pattern, alice):
        browser = browser_of(alice)
        assert_page(browser.post(address(pattern)), 403, "Open it again")

    def test_another_sites_origin_is_refused_though_the_token_fits(self, alice):
        browser = browser_of(alice)
        response = browser.send("/account", {"name": "Mallory"}, Origin="https://evil.example")
        assert_page(response, 403)
        assert alice.api.get("/users/me").json()["name"] == "Alice"

    def test_another_browsers_token_is_refused(self, alice, charlie):
        token = TOKEN.search(browser_of(charlie).get("/account").text)[1]
        response = browser_of(alice).post("/account", {"name": "M", "csrfmiddlewaretoken": token})
        assert_page(response, 403)

    def test_a_log_in_can_not_be_forged(self, browser, alice):
        response = browser.post("/login", {"email": alice.user.email, "password": PASSWORD})
        assert_page(response, 403)
        assert not browser.session_cookie

    def test_the_token_is_another_one_after_log_in(self, browser, alice):
        browser.get("/login")
        before = browser.client.cookies["csrf"].value
        browser.log_in(alice)
        assert browser.client.cookies["csrf"].value != before

    def test_the_api_asks_for_none(self, alice):
        client = Client(enforce_csrf_checks=True)
        answer = client.post(
            "/auth/login",
            {"email": alice.user.email, "password": PASSWORD},
            content_type="application/json",
        )
        assert answer.status_code == 200


class TestFixation:
    def test_what_the_cookie_held_is_gone_after_log_in(self, alice, charlie):
        browser = browser_of(charlie)
        planted = browser.session_cookie
        response = browser.send("/login", {"email": alice.user.email, "password": PASSWORD}, page="/account")
        assert response.status_code == 303
        assert "Alice" in browser.get("/account").text
        mallory = Browser()
        mallory.client.cookies["session"] = planted
        assert mallory.get("/account").headers["Location"].startswith("/login")

    def test_it_holds_nothing_but_names(self, alice):
        browser = browser_of(alice)
        assert browser.held.keys() == {"sid", "user_id", "org_id"}

    def test_a_cookie_that_was_tampered_with_is_nobodys(self, alice, charlie):
        browser = browser_of(alice)
        body, _, signature = browser.session_cookie.partition(":")
        browser.client.cookies["session"] = f"{body}x:{signature}"
        assert browser.get("/account").headers["Location"].startswith("/login")

    @pytest.mark.parametrize(
        "change",
        [{"sid": None}, {"sid": "x"}, {"sid": 5}, {"user_id": NOBODY}, {"org_id": NOBODY}, {"foreign": True}],
    )
    def test_names_that_do_not_belong_together_are_nobodys(self, alice, charlie, change):
        browser = browser_of(alice)
        if change.pop("foreign", False):
            change = {"org_id": str(charlie.organization_id)}
        browser.client.cookies["session"] = signing.dumps(
            {**browser.held, **change}, salt=SALT, compress=True
        )
        assert browser.get("/account").headers["Location"].startswith("/login")


class TestOneKindOfSession:
    def test_the_api_ends_a_pages_session(self, alice):
        browser = browser_of(alice)
        assert browser.sid in [each["id"] for each in alice.api.get("/auth/sessions").json()["data"]]
        assert alice.api.delete(f"/auth/sessions/{browser.sid}").status_code == 204
        assert browser.get("/account").status_code == 303

    def test_the_row_decides_whatever_redis_lost(self, alice, owner_connection):
        browser = browser_of(alice)
        owner_connection.execute("UPDATE accounts_session SET revoked_at = now()")
        get_redis_connection("default").flushdb()
        assert browser.get("/account").status_code == 303

    def test_a_form_that_comes_too_late_leads_to_the_log_in(self, alice, owner_connection):
        browser = browser_of(alice)
        token = TOKEN.search(browser.get("/account").text)[1]
        owner_connection.execute("UPDATE accounts_session SET revoked_at = now()")
        response = browser.post("/account", {"name": "Late", "csrfmiddlewaretoken": token})
        assert (response.status_code, response.headers["Location"]) == (303, "/login")
        assert_page(browser.get("/login"), 200, "Your session has ended.")

    def test_the_cookie_opens_no_route_of_the_api(self, alice):
        browser = browser_of(alice)
        for path in ("/users/me", "/auth/sessions", "/users/org", "/payments/subscription"):
            assert browser.get(path).status_code == 401

    def test_a_token_opens_no_page(self, alice):
        assert alice.api.get("/account").status_code == 401
        assert alice.api.post("/logout").status_code == 401
        both = browser_of(alice)
        assert both.get("/account", Authorization=f"Bearer {alice.access_token}").status_code == 401

    def test_another_kind_of_authorization_is_the_proxys_business(self, alice):
        assert browser_of(alice).get("/account", Authorization="Basic eDp5").status_code == 200

    def test_a_person_who_was_deactivated_is_out(self, alice, bob):
        browser = browser_of(bob)
        alice.api.patch(f"/users/org/{bob.user.id}", {"active": False})
        assert browser.get("/account").status_code == 303

    def test_use_lets_it_live_on(self, alice, fake_clock, owner_connection):
        def expiry():
            return owner_connection.execute("SELECT max(expires_at) FROM accounts_session").fetchone()[0]

        browser = browser_of(alice)
        before = expiry()
        fake_clock.advance(minutes=59)
        assert "session" not in browser.get("/account").cookies
        assert expiry() == before
        fake_clock.advance(minutes=2)
        assert browser.get("/account").cookies["session"]["max-age"] == settings.SESSION_COOKIE_AGE
        assert expiry() > before
        fake_clock.advance(days=29)
        assert browser.get("/account").status_code == 200
        fake_clock.advance(days=31)
        assert browser.get("/account").status_code == 303

    def test_use_does_not_let_it_live_for_ever(self, alice, fake_clock):
        browser = browser_of(alice)
        for _ in range(settings.SESSION_DAYS // 10):
            assert browser.get("/account").status_code == 200
            fake_clock.advance(days=10)
        fake_clock.advance(days=1)
        assert browser.get("/account").status_code == 303


class TestHeaders:
    @pytest.mark.parametrize("pattern", READ, ids=lambda each: each.name)
    def test_each_page_is_stored_nowhere_and_runs_nothing_foreign(self, pattern, alice):
        headers = browser_of(alice).get(address(pattern)).headers
        assert headers["Cache-Control"] == "no-store"
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["form-action"].startswith("'self'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"

    @pytest.mark.parametrize("pattern", READ, ids=lambda each: each.name)
    def test_no_page_has_styles_or_scripts_in_itself(self, pattern, alice):
        text = browser_of(alice).get(address(pattern)).text
        assert "<style" not in text
        assert " style=" not in text
        assert "<script>" not in text

    def test_cookies_are_for_this_site_and_not_for_scripts(self, alice):
        browser = browser_of(alice)
        browser.get("/account")
        for name in ("session", "csrf"):
            cookie = browser.client.cookies[name]
            assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (
                True,
                "Lax",
                "/",
                "",
            )

    def test_outside_development_they_are_bound_to_https_and_this_host(self):
        script = (
            "from django.conf import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME, "
            "s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_HSTS_SECONDS)"
        )
        shown = manage("shell", "--no-imports", "-c", script, DEPLOYMENT_ENV="production").stdout
        assert shown.split() == ["__Host-session", "__Host-csrf", "True", "True", "31536000"]

    def test_what_one_page_tells_the_next_too(self, alice):
        browser = browser_of(alice)
        browser.send("/account", {"name": "Alice", "locale": "en", "timezone": "UTC"})
        cookie = browser.client.cookies["messages"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        script = "from saas.page_messages import HostCookieStorage as s; print(s.cookie_name)"
        shown = manage("shell", "--no-imports", "-c", script, DEPLOYMENT_ENV="production").stdout
        assert shown.strip() == "__Host-messages"

    def test_https_is_kept_to(self, settings):
        settings.SECURE_HSTS_SECONDS = 31_536_000
        assert "Strict-Transport-Security" in Client().get("/", secure=True).headers


class TestHosts:
    def test_a_foreign_name_is_refused(self, browser):
        response = browser.get("/", Host="evil.example")
        assert response.status_code == 400
        assert "evil.example" not in response.text

    def test_a_forwarded_one_changes_nothing(self, browser):
        page = browser.get("/account", **{"X-Forwarded-Host": "evil.example"})
        assert page.headers["Location"] == "/login?next=%2Faccount"


class TestErrors:
    def test_an_unknown_path_is_a_page_for_a_browser_and_a_problem_for_a_program(self, browser, anonymous):
        assert_page(browser.get("/no/such/page"), 404, "Not found", "request id", "/")
        assert anonymous.get("/no/such").headers["Content-Type"] == "application/problem+json"
        token = Api("rubbish")
        assert token.get("/no/such", Accept="text/html").headers["Content-Type"] == "application/problem+json"

    def test_a_body_that_can_not_be_read_or_is_too_large_is_told_on_a_page(self, browser):
        browser.get("/login")
        parts = browser.client.post(
            "/login", b"--x\r\nbroken", content_type="multipart/form-data; boundary=" + "x" * 300
        )
        assert_page(parts, 400, "Go back")
        assert_page(browser.post("/login", {"email": "x" * 70_000}), 413, "larger than this accepts")

    def test_the_request_id_is_shown(self, browser):
        response = browser.get("/no/such", **{"X-Request-Id": "abcdefgh-1"})
        assert_page(response, 404, "abcdefgh-1")

    def test_the_limit_is_told_on_a_page(self, browser, monkeypatch):
        monkeypatch.setattr(access, "ANONYMOUS", Limit("anonymous", 1, per=60))
        browser.get("/login")
        response = browser.get("/login")
        assert_page(response, 429, "Too many requests")
        assert int(response.headers["Retry-After"]) > 0

    def test_an_api_route_answers_problems_to_browsers_too(self, browser):
        assert browser.get("/users/me").headers["Content-Type"] == "application/problem+json"
