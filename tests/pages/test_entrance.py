"""Register, log in, log out."""

import pytest

from accounts.models import Session, User
from tenancy.context import org_context
from tests.accounts.lifecycle import do_what_was_asked
from tests.conftest import PASSWORD
from tests.pages.browsing import assert_page, browser_of

NEW = {"org": "Initech", "name": "Peter", "email": "peter@initech.example", "password": PASSWORD}
# What a browser would read as an address of another site, or not as a page at all.
ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "///evil.example",
    "http:evil.example",
    "javascript:alert(1)",
    "evil.example",
    " //evil.example",
    "/\t/evil.example",
    "\x00/account",
]
# These stay here, and bring nothing along into the header.
TWISTED = {
    "/account\r\nX-Evil: 1": "/account%0D%0AX-Evil:%201",
    "/account?next=//evil.example": "/account?next=//evil.example",
}


def sessions_of(person):
    with org_context(person.organization_id):
        return list(Session.objects.order_by("created_at"))


class TestRegister:
    def test_it_makes_an_organization_and_logs_its_owner_in(self, browser):
        assert_page(browser.get("/register"), 200, "Register your organization")
        response = browser.send("/register", NEW)
        assert (response.status_code, response.headers["Location"]) == (303, "/account")
        assert_page(browser.get("/account"), 200, "Peter", "Initech")

    def test_what_is_wrong_stands_at_its_field_and_what_was_typed_stays(self, browser):
        response = browser.send("/register", {**NEW, "email": "no address", "password": "short"})
        assert_page(response, 422, 'value="Initech"', 'value="no address"', 'aria-invalid="true"')
        assert "at least 8 characters" in response.text
        assert 'value="short"' not in response.text

    def test_the_password_has_the_same_rules_as_at_the_api(self, browser):
        response = browser.send("/register", {**NEW, "password": "password123"})
        assert_page(response, 422, "too common")

    def test_a_taken_address_is_refused(self, browser, alice):
        response = browser.send("/register", {**NEW, "email": "ALICE@acme.example"})
        assert_page(response, 409, "exists already", 'value="ALICE@acme.example"')
        with org_context(alice.organization_id):
            assert User.objects.count() == 1

    def test_where_addresses_are_verified_first_nobody_learns_who_has_one(
        self, browser, alice, settings, owner_connection
    ):
        settings.REGISTRATION_MODE = "verified"
        for email in ("peter@initech.example", alice.user.email):
            response = browser.send("/register", {**NEW, "email": email})
            assert (response.status_code, response.headers["Location"]) == (303, "/mail-sent")
            assert not browser.session_cookie
        assert_page(browser.get("/mail-sent"), 200, "Look into your mailbox")
        do_what_was_asked(owner_connection)
        response = browser.send("/login", {"email": "peter@initech.example", "password": PASSWORD})
        assert_page(response, 403, "password is wrong")

    def test_markup_is_shown_as_it_was_typed(self, browser):
        response = browser.send("/register", {**NEW, "org": "<script>x</script>", "email": ""})
        assert_page(response, 422, "&lt;script&gt;x&lt;/script&gt;")
        assert "<script>x" not in response.text


class TestLogIn:
    def test_it_works(self, browser, alice):
        assert_page(browser.get("/login"), 200, "Log in")
        assert browser.log_in(alice).headers["Location"] == "/account"
        assert_page(browser.get("/account"), 200, "alice@acme.example", "Acme")

    def test_the_session_has_its_device(self, browser, alice):
        browser.log_in(alice)
        latest = sessions_of(alice)[-1]
        assert (latest.ip, "Firefox" in latest.user_agent) == ("127.0.0.1", True)

    @pytest.mark.parametrize("fields", [{"password": "wrong-password"}, {"email": "nobody@acme.example"}])
    def test_wrong_credentials_look_the_same(self, browser, alice, fields):
        typed = {"email": alice.user.email, "password": PASSWORD, **fields}
        response = browser.send("/login", typed)
        assert_page(response, 403, "The email address or the password is wrong", f'value="{typed["email"]}"')
        assert fields.get("password", PASSWORD) not in response.text
        assert not browser.session_cookie

    def test_too_many_are_refused_for_a_while(self, browser, alice):
        for _ in range(6):
            response = browser.send("/login", {"email": alice.user.email, "password": "wrong-password"})
        assert_page(response, 429, "too many times")
        assert int(response.headers["Retry-After"]) > 0

    def test_it_leads_to_where_one_wanted(self, browser, alice):
        away = browser.get("/account/sessions?x=1")
        assert (away.status_code, away.headers["Location"]) == (
            303,
            "/login?next=%2Faccount%2Fsessions%3Fx%3D1",
        )
        page = browser.get(away.headers["Location"])
        assert 'name="next" value="/account/sessions?x=1"' in page.text
        assert (
            browser.log_in(alice, next="/account/sessions?x=1").headers["Location"] == "/account/sessions?x=1"
        )

    @pytest.mark.parametrize("target", ELSEWHERE)
    def test_it_leads_nowhere_else(self, browser, alice, target):
        assert browser.log_in(alice, next=target).headers["Location"] == "/account"
        assert browser.client.get("/login", {"next": target}).headers["Location"] == "/account"

    @pytest.mark.parametrize("target", TWISTED)
    def test_a_path_brings_no_header_along(self, browser, alice, target):
        response = browser.log_in(alice, next=target)
        assert response.headers["Location"] == TWISTED[target]
        assert "X-Evil" not in response.headers

    def test_who_is_logged_in_goes_on(self, browser, alice):
        browser.log_in(alice)
        for path in ("/login", "/register"):
            assert browser.get(path).headers["Location"] == "/account"


class TestLogOut:
    def test_it_ends_the_session(self, browser, alice):
        browser.log_in(alice)
        cookie = browser.session_cookie
        response = browser.send("/logout", page="/account")
        assert (response.status_code, response.headers["Location"]) == (303, "/")
        assert response.headers["Clear-Site-Data"] == '"cache", "storage"'
        assert not browser.session_cookie
        assert sessions_of(alice)[-1].revoke_reason == "logged_out"
        browser.client.cookies["session"] = cookie
        assert browser.get("/account").headers["Location"].startswith("/login")

    def test_a_link_does_not_do_it(self, browser, alice):
        browser.log_in(alice)
        response = browser.get("/logout")
        assert_page(response, 405, "Go back")
        assert response.headers["Allow"] == "POST"
        assert browser.get("/account").status_code == 200

    def test_others_go_on(self, browser, alice):
        other = browser_of(alice)
        browser.log_in(alice)
        browser.send("/logout", page="/account")
        assert other.get("/account").status_code == 200
        assert alice.api.get("/users/me").status_code == 200
