"""What no page of ours sends into its forms: refused at the field, or kept as it was typed; never a fault of ours."""

import re
from html import unescape
from urllib.parse import urlencode

import pytest

from tests.accounts.lifecycle import do_what_was_asked, sent
from tests.conftest import PASSWORD, make_owner
from tests.pages.browsing import TOKEN, Browser, browser_of
from tests.pages.test_defence import POSTED
from tests.security.test_mass_assignment import state
from tests.security.watching import address_of_nobody_yet

NEW = {"email": "new@new.example", "password": PASSWORD, "org": "New", "name": "Nora"}
# By the route: its form's fields as a person fills them in, and whether that needs no log-in.
FORMS = {
    "sign_up": (NEW, True),
    "log_in": ({"email": "alice@acme.example", "password": PASSWORD}, True),
    "forgot_password_page": ({"email": "alice@acme.example"}, True),
    "verify_email_page": ({"token": "x"}, True),
    "reset_password_page": ({"token": "x", "password": PASSWORD}, True),
    "invitation_page": ({"token": "x", "password": PASSWORD, "name": "Nora"}, True),
    "look": ({"token": "x"}, True),
    "account": ({"name": "Alice", "locale": "en", "timezone": "UTC"}, False),
    "account_email": ({"email": "al@acme.example"}, False),
    "account_password": ({"current_password": PASSWORD, "new_password": "another-fine-secret"}, False),
    "organization": ({"name": "Acme"}, False),
    "organization_support": ({"is_allowed": "true"}, False),
    "member_page": ({"role": "member"}, False),
    "invitation_list": ({"email": "ines@acme.example", "role": "member"}, False),
    "billing_checkout": ({"plan": "starter", "interval": "monthly"}, False),
    "billing_portal": ({}, False),
}
BUTTONS = {
    "log_out",
    "send_verification_again",
    "end_other_sessions",
    "end_session",
    "deactivate_member",
    "reactivate_member",
    "remove_member",
    "hand_over",
    "withdraw_invitation",
}
# As they stand in the body, encoded.
TEXTS = {
    "NUL": "a%00b",
    "a line break": "a%0D%0ABcc:+all@example.com",
    "a lone surrogate": "a%ED%A0%80b",
    "invalid UTF-8": "a%FF%FEb",
    "overlong UTF-8": "%C0%AE%C0%AE%2F",
    "a direction override": "a%E2%80%AEgpj.exe",
    "nothing that shows": "%E2%80%8B%E2%80%8D",
    "the end of a page": "%22%3E%3C/form%3E%3Cscript%3Ealert(1)%3C/script%3E",
    "a template": "{{7*7}}{%25+debug+%25}",
    "a format": "%25(email)s%25n%25s{0.__class__}",
    "a path": "..%2F..%2Fetc%2Fpasswd",
    "a path, encoded again": "%252e%252e%252f",
    "parameters of a path": "a;b=c;/d",
    "SQL": "x'+OR+1=1;+DROP+TABLE+accounts_user+--",
    "a homoglyph": "%D0%B0lice@acme.example",
    "full width": "%EF%BD%81lice@acme.example",
    "a Turkish i": "al%C4%B0ce@acme.example",
    "a Kelvin sign": "%E2%84%AAim@acme.example",
    "composed otherwise": "e%CC%81va@acme.example",
    "a thousand marks": "e" + "%CC%81" * 1000,
    "too long": "x" * 30_000,
    "a huge number": "9" * 5_000,
    "not a number": "NaN",
    "an object": "{%22$ne%22:null}",
    "nothing": "",
}


def address(pattern, bob):
    return "/" + str(pattern.pattern).replace("<uuid:id>", str(bob.user.id))


FILLED_IN = [
    pytest.param(pattern, field, id=f"{pattern.name}-{field}")
    for pattern in POSTED
    for field in FORMS.get(pattern.name, ({}, True))[0]
]


def test_every_form_is_here():
    assert {
        pattern.name for pattern in POSTED if not pattern.name.startswith("support")
    } == FORMS.keys() | BUTTONS


@pytest.fixture
def strangers(alice):
    """A browser for each form: a token that fits, and a limit that nobody used up."""

    def browser(is_public):
        found = Browser()
        found.client.defaults["REMOTE_ADDR"] = address_of_nobody_yet()
        if not is_public:
            found.log_in(alice)
        found.token = TOKEN.search(found.get("/login" if is_public else "/account").text)[1]
        return found

    return browser


def send(browser, path, fields, raw):
    """Fields as they are, and those that are encoded already."""
    body = "&".join(
        [urlencode({**fields, "csrfmiddlewaretoken": browser.token}), *(f"{k}={v}" for k, v in raw)]
    )
    return browser.client.post(path, body, content_type="application/x-www-form-urlencoded")


@pytest.mark.parametrize(("pattern", "field"), FILLED_IN)
def test_a_field_takes_it_or_says_why_not(pattern, field, alice, bob, strangers, owner_connection):
    fields, is_public = FORMS[pattern.name]
    rest = {name: value for name, value in fields.items() if name != field}
    owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
    owner_connection.execute("UPDATE tenancy_organization SET seat_limit = 50")
    browser = strangers(is_public)
    for what, text in TEXTS.items():
        if is_public:
            browser.client.defaults["REMOTE_ADDR"] = address_of_nobody_yet()
        before = state(owner_connection)
        answer = send(browser, address(pattern, bob), rest, [(field, text)])
        assert answer.status_code in (303, 403, 409, 410, 413, 422, 429, 503), (
            what,
            answer.status_code,
            answer.text,
        )
        assert answer.status_code != 503 or pattern.name.startswith("billing"), what
        assert "<script>alert" not in answer.text, what
        if answer.status_code == 303:
            assert is_of_this_site(answer.headers["Location"]), (what, answer.headers["Location"])
            if field.endswith("password"):
                break  # The session is another's now, or the password is.
            continue
        assert state(owner_connection) == before, what
        if answer.status_code == 422:
            assert says_why(answer.text), (what, answer.text)


def is_of_this_site(location):
    return re.fullmatch(r"/(?![/\\])[\x21-\x7e]*", location)


def says_why(text):
    """At the field, above the form, or on a page of its own where the link is none."""
    said = re.search(r'role="alert"><p>(.*?)</p>', text, re.DOTALL)
    alone = said and "look at what is marked" not in unescape(said[1])
    return 'class="wrong"' in text or alone or ">422<" in text


class TestKept:
    @pytest.mark.parametrize(
        "name",
        ["{{7*7}}", "%(email)s", "<b>x</b>", "../..", "a;b", "x' OR 1=1 --", "e\u0301", "\u0130nci", "中文"],
    )
    def test_a_name_is_what_was_typed(self, alice, name):
        browser = browser_of(alice)
        assert browser.send("/account", {"name": name, "locale": "en", "timezone": "UTC"}).status_code == 303
        assert alice.api.get("/users/me").json()["name"] == name
        page = browser.get("/account").text
        assert "<b>x</b>" not in page
        assert name in unescape(page)

    @pytest.mark.parametrize(
        "name", ["../../etc", "%2e%2e%2f", "a;b", "\u0430cme", "İnci", "Ａcme", "e\u0301", "-_-", "💥"]
    )
    def test_a_slug_is_made_of_plain_letters_whatever_the_name_is(self, name):
        person = make_owner("new@new.example", name, "Nora")
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", person.user.organization.slug)


class TestAddresses:
    """What reads like an address opens no second account, and a mail goes to the one that is stored."""

    @pytest.mark.parametrize(
        "email", ["\u212aim@kiosk.example", "KIM@kiosk.example", "kim@\u212aiosk.example"]
    )
    def test_a_mail_goes_to_the_stored_one(self, email, anonymous, owner_connection, mailoutbox):
        kim = make_owner("kim@kiosk.example", "Kiosk", "Kim")
        assert anonymous.post("/auth/password/forgot", {"email": email}).status_code == 202
        do_what_was_asked(owner_connection)
        mails = sent(mailoutbox, kim.organization_id, "accounts/reset_password")
        assert [mail.to for mail in mails] in ([["kim@kiosk.example"]], [])

    def test_a_name_never_becomes_a_header(self, anonymous, owner_connection, mailoutbox):
        name = "Acme =?utf-8?q?=0ABcc=3A_all=40example=2Ecom?= %0d%0aBcc: x@example.com"
        kim = make_owner("kim@kiosk.example", name, name)
        [mail] = sent(mailoutbox, kim.organization_id, "accounts/welcome")
        message = mail.message()
        assert message["Bcc"] is None
        assert message["To"] == "kim@kiosk.example"
        assert all("\n" not in value.replace("\n ", "") for value in message.values())


class TestMethods:
    @pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
    def test_none_is_another_by_a_header(self, header, alice, bob):
        path = f"/users/org/{bob.user.id}"
        assert alice.api.post(path, {}, **{header: "DELETE"}).status_code == 405
        assert alice.api.get("/users/me", **{header: "PATCH"}).status_code == 200
        assert alice.api.post(f"{path}?_method=DELETE", {"_method": "DELETE"}).status_code == 405

    @pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PUT", "PROPFIND", "GET\u00e4"])
    def test_one_that_is_not_known_is_refused(self, method, alice):
        browser = browser_of(alice)
        for path in ("/account", "/users/me"):
            assert browser.client.generic(method, path).status_code in (403, 405, 401), (method, path)
