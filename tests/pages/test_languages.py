"""Pages speak the person's language, else the browser's; the API speaks English to everybody."""

import pytest

from accounts.models import User
from accounts.selectors import organization_of_email
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID
from tests.accounts.lifecycle import do_what_was_asked, sent, token_in
from tests.conftest import PASSWORD, Api
from tests.pages.browsing import assert_page, browser_of

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}
NEW = {"org": "Initech", "name": "Peter", "email": "peter@initech.example", "password": PASSWORD}


@pytest.fixture
def german(browser):
    browser.client.defaults["HTTP_ACCEPT_LANGUAGE"] = GERMAN["Accept-Language"]
    return browser


def person_by(email):
    with org_context(organization_of_email(email)):
        return User.objects.get_by_natural_key(email)


class TestPages:
    def test_the_browser_chooses_for_who_is_not_logged_in(self, german):
        response = german.get("/login")
        assert_page(response, 200, '<html lang="de">', "Anmelden", "Passwort vergessen?")
        assert response.headers["Content-Language"] == "de"

    def test_a_language_that_there_is_not_is_english(self, browser):
        assert_page(browser.get("/login", **{"Accept-Language": "fr"}), 200, '<html lang="en">', "Log in")

    def test_a_persons_own_language_comes_before_the_browsers(self, alice):
        browser = browser_of(alice)
        assert_page(browser.get("/account", **GERMAN), 200, '<html lang="en">', "Profile")
        alice.api.patch("/users/me", {"locale": "de"})
        english = {"Accept-Language": "en"}
        assert_page(browser.get("/account", **english), 200, '<html lang="de">', "Profil", "Abmelden")

    def test_errors_are_german_too(self, german):
        assert_page(german.get("/nowhere"), 404, '<html lang="de">', "Nicht gefunden")

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"name": "a\tb"}, "Steuerzeichen und Zeilenumbrüche sind nicht erlaubt."),
            ({"org": ""}, "Bitte füllen Sie dieses Feld aus."),
            ({"org": "o" * 201}, "höchstens 200 Zeichen"),
            ({"email": "no address"}, "Das ist keine gültige E-Mail-Adresse."),
            ({"email": "peter@initëch.example"}, "in ASCII-Zeichen"),
            ({"password": "short"}, "mindestens 8 Zeichen"),
            ({"password": "password123"}, "Dieses Passwort ist zu verbreitet."),
            (
                {"password": "initech1"},
                "Das Passwort ist der E-Mail-Adresse, dem Namen, der Organisation oder dieser",
            ),
        ],
    )
    def test_what_is_wrong_with_a_field_is_german_too(self, german, fields, says):
        assert_page(german.send("/register", {**NEW, **fields}), 422, says)


class TestTheFirstMail:
    def test_who_registers_in_german_is_written_to_in_german(self, german):
        assert german.send("/register", NEW).status_code == 303
        assert person_by(NEW["email"]).locale == "de"

    def test_also_where_addresses_are_verified_first(self, german, settings, owner_connection, mailoutbox):
        settings.REGISTRATION_MODE = "verified"
        german.send("/register", NEW)
        do_what_was_asked(owner_connection)
        [mail] = sent(mailoutbox, SUPPORT_ORGANIZATION_ID, "accounts/finish_registration")
        assert mail.subject == "Adresse bestätigen"
        token = token_in(mail, "verify-email")
        assert german.send(f"/verify-email?token={token}", {"token": token}).status_code == 303
        assert person_by(NEW["email"]).locale == "de"

    def test_also_through_the_api(self, anonymous):
        assert anonymous.post("/auth/register", NEW, **GERMAN).status_code == 201
        assert person_by(NEW["email"]).locale == "de"

    def test_who_accepts_an_invitation_chooses_by_the_browser(self, alice, german, mailoutbox):
        with org_context(alice.organization_id):
            User.objects.update(email_verified_at=alice.user.created_at)
        alice.api.post("/orgs/invitations", {"email": "dora@acme.example"})
        [mail] = sent(mailoutbox, alice.organization_id, "accounts/invitation")
        token = token_in(mail, "invitation")
        page = f"/invitation?token={token}"
        response = german.send(page, {"token": token, "name": "", "password": PASSWORD})
        assert response.status_code == 303, response.text
        assert person_by("dora@acme.example").locale == "de"


class TestTheApi:
    @pytest.mark.parametrize("right_after_a_german_page", [False, True])
    def test_it_speaks_english_whatever_is_asked_for(self, alice, german, right_after_a_german_page):
        """Also on the thread that made the page: a language is a thread's."""
        if right_after_a_german_page:
            alice.api.patch("/users/me", {"locale": "de"})
            german.log_in(alice)
            assert_page(german.get("/account"), 200, '<html lang="de">')
        for token in (None, alice.access_token):
            for answer in (
                Api(token).post("/auth/register", {**NEW, "email": "x", "password": "password123"}, **GERMAN),
                Api(token).post("/auth/register", {**NEW, "password": "password123"}, **GERMAN),
                Api(token).post("/auth/register", {**NEW, "email": alice.user.email}, **GERMAN),
                Api(token).patch("/users/me", {"name": 5, "locale": "xx"}, **GERMAN),
                Api(token).post("/auth/verify-email", {"token": "x"}, **GERMAN),
                Api(token).get("/nowhere", **GERMAN),
            ):
                assert answer.status_code >= 400
                assert "Content-Language" not in answer.headers
                problem = answer.json()
                for text in (problem["title"], *details(problem)):
                    assert text in ENGLISH, text


def details(problem):
    return [problem["detail"], *(error["detail"] for error in problem.get("errors", ()))]


# All that these requests can be told.
ENGLISH = [
    "Validation failed",
    "The request is well-formed, but something in it is not acceptable; see `errors`.",
    "Enter a valid email address.",
    "This password is too common.",
    "Email address taken",
    "An account with this email address exists already.",
    "Not authenticated",
    "This needs an access token in the Authorization header: Bearer <token>.",
    "Not a valid string.",
    "This language is not available.",
    "This link is not valid any more. Ask for a new one.",
    "Not found",
    "There is nothing here, or nothing that you may see.",
]
