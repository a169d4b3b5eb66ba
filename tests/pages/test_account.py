"""A person's own account: profile and sessions."""

import os
from concurrent.futures import ThreadPoolExecutor

import psycopg
from django.db import connections

from accounts.models import User
from tenancy.context import org_context
from tests.accounts.asking import queries
from tests.pages.browsing import TOKEN, assert_page, browser_of


def person(of):
    with org_context(of.organization_id):
        return User.objects.get(id=of.user.id)


class TestProfile:
    def test_it_is_saved(self, alice):
        browser = browser_of(alice)
        response = browser.send("/account", {"name": "Alicia", "locale": "en", "timezone": "Asia/Tokyo"})
        assert (response.status_code, response.headers["Location"]) == (303, "/account")
        page = browser.get("/account")
        assert_page(page, 200, "Your profile is saved.", 'value="Alicia"', "<option selected>Asia/Tokyo")
        assert "Your profile is saved." not in browser.get("/account").text

    def test_what_is_wrong_is_told_and_changes_nothing(self, alice):
        browser = browser_of(alice)
        response = browser.send("/account", {"name": "Al\u202eice", "locale": "xx", "timezone": "Mars/Base"})
        assert_page(response, 422, "change the direction of text", "not available", "a time zone")
        assert person(alice).name == "Alice"

    def test_the_address_does_not_change_by_the_way(self, alice):
        response = browser_of(alice).send("/account", {"name": "A", "email": "mallory@evil.example"})
        assert response.status_code == 303
        after = person(alice)
        assert (after.email, after.role) == ("alice@acme.example", "owner")

    def test_other_columns_can_not_be_set(self, alice, bob):
        browser_of(bob).send("/account", {"name": "B", "role": "owner", "is_staff": "1"})
        assert (person(bob).role, person(bob).is_staff) == ("member", False)

    def test_times_are_shown_in_the_persons_zone(self, alice, owner_connection):
        browser = browser_of(alice)
        owner_connection.execute(
            "UPDATE accounts_session SET created_at = '2026-03-01T23:30:00Z' WHERE user_agent = 'tests'"
        )
        assert "1 March 2026, 23:30" in browser.get("/account/sessions").text
        browser.send("/account", {"name": "A", "timezone": "Asia/Tokyo"})
        assert "2 March 2026, 08:30" in browser.get("/account/sessions").text


class TestLanguage:
    """Django's own catalogue has German; ours follows."""

    WRONG = {"name": "x" * 201}

    def test_it_is_the_persons(self, alice):
        browser = browser_of(alice)
        browser.send("/account", {"name": "A", "locale": "de"})
        page = browser.get("/account", **{"Accept-Language": "en"})
        assert '<html lang="de">' in page.text
        assert page.headers["Content-Language"] == "de"
        assert "200 Zeichen" in browser.send("/account", self.WRONG).text

    def test_it_is_the_browsers_for_who_is_not_known(self, browser):
        assert '<html lang="de">' in browser.get("/login", **{"Accept-Language": "de-CH,de;q=0.9"}).text
        assert '<html lang="en">' in browser.get("/login", **{"Accept-Language": "eo"}).text

    def test_the_api_stays_english_on_the_same_thread(self, alice):
        browser = browser_of(alice)
        browser.send("/account", {"name": "A", "locale": "de"})
        browser.get("/account")
        answer = alice.api.patch("/users/me", self.WRONG, **{"Accept-Language": "de"})
        assert "no more than 200 characters" in answer.json()["errors"][0]["detail"]


class TestSessions:
    def test_they_are_listed_with_device_and_place(self, alice):
        page = browser_of(alice).get("/account/sessions")
        assert_page(page, 200, "Firefox on Linux", "This browser", "127.0.0.1", "192.0.2.1", "tests")

    def test_one_can_be_ended(self, alice):
        browser, other = browser_of(alice), browser_of(alice)
        response = browser.send(f"/account/sessions/{alice.session_id}/end", page="/account/sessions")
        assert (response.status_code, response.headers["Location"]) == (303, "/account/sessions")
        assert "That session has ended." in browser.get("/account/sessions").text
        assert alice.api.get("/users/me").status_code == 401
        assert other.get("/account").status_code == 200

    def test_ones_own_too(self, alice):
        browser = browser_of(alice)
        own = browser.sid
        response = browser.send(f"/account/sessions/{own}/end", page="/account/sessions")
        assert response.headers["Location"] == "/login"
        assert response.headers["Clear-Site-Data"] == '"cache", "storage"'
        assert browser.get("/account").headers["Location"].startswith("/login")

    def test_all_others_can_be_ended(self, alice, bob):
        browser, other = browser_of(alice), browser_of(alice)
        assert browser.send("/account/sessions/others/end", page="/account/sessions").status_code == 303
        assert other.get("/account").status_code == 303
        assert alice.api.get("/users/me").status_code == 401
        assert bob.api.get("/users/me").status_code == 200
        page = browser.get("/account/sessions")
        assert page.status_code == 200
        assert "End all other sessions" not in page.text

    def test_more_of_them_cost_no_more_queries(self, alice):
        browser = browser_of(alice)
        browser.get("/account/sessions")
        with queries() as few:
            browser.get("/account/sessions")
        for _ in range(10):
            browser_of(alice)
        with queries() as many:
            browser.get("/account/sessions")
        assert len(many) == len(few) == 2


FAILING_COMMIT = """
CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'disk full'; END $$;
CREATE CONSTRAINT TRIGGER fail AFTER UPDATE ON accounts_user DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.fail()
"""


def test_what_a_failed_commit_took_back_is_not_told_as_done(alice, owner_connection):
    browser = browser_of(alice)
    owner_connection.execute(FAILING_COMMIT)
    try:
        assert browser.send("/account", {"name": "Al"}).status_code == 500
    finally:
        owner_connection.execute("DROP TRIGGER fail ON accounts_user; DROP FUNCTION public.fail()")
    page = browser.get("/account").text
    assert "saved" not in page
    assert 'value="Al"' not in page


class TestNotingUse:
    def test_it_waits_for_nobody(self, alice, owner_connection):
        """Who has the session's row may wait for this request in turn."""
        browser = browser_of(alice)
        owner_connection.execute("UPDATE accounts_session SET last_seen_at = now() - interval '2 hours'")
        with ThreadPoolExecutor(1) as thread, psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as other:
            other.execute("SELECT id FROM accounts_session FOR UPDATE")
            answer = thread.submit(lambda: (browser.get("/account"), connections.close_all()))
            try:
                assert answer.result(timeout=20)[0].status_code == 200
            finally:
                other.rollback()

    def test_a_form_notes_none(self, alice, owner_connection):
        browser = browser_of(alice)
        token = TOKEN.search(browser.get("/account").text)[1]
        owner_connection.execute("UPDATE accounts_session SET last_seen_at = now() - interval '2 hours'")
        before = owner_connection.execute("SELECT last_seen_at FROM accounts_session").fetchall()
        browser.post("/account", {"name": "Al", "csrfmiddlewaretoken": token})
        assert owner_connection.execute("SELECT last_seen_at FROM accounts_session").fetchall() == before
