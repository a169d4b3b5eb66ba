"""Looking as a customer: begun in the admin with a reason, read-only, for an hour, and seen by the customer."""

import os
from datetime import timedelta
from uuid import UUID, uuid4

import jwt
import psycopg
import pytest
from django.db import InternalError, ProgrammingError, connection, transaction
from django.test import Client
from django.urls import reverse

from accounts import selectors
from accounts.links import make_link
from accounts.models import User
from accounts.pages import urls as accounts_pages
from accounts.services.members import set_support_allowed
from accounts.tokens import SessionClaims
from billing.pages import urls as billing_pages
from saas.kit import clock
from tenancy.context import ReadingAllowedAlone, org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID
from tests.accounts.asking import assert_refused
from tests.conftest import Api
from tests.pages.browsing import Browser, browser_of
from tests.support.desk import rows_of_audit, text_of

REASON = "ticket 8: the list is empty"


@pytest.fixture
def begin(desk, acme):
    """Presses the button on a user's page; returns the address that the browser is sent to."""

    def begin(person, reason=REASON):
        answer = desk.post(f"/admin/organizations/{acme}/users/{person.user.id}/look", reason=reason)
        assert answer.status_code == 302, text_of(answer)
        return answer.headers["Location"]

    return begin


def token_of(link):
    return link.partition("token=")[2]


@pytest.fixture
def look(begin):
    """A browser that looks as somebody."""

    def look(person):
        browser = Browser()
        path = begin(person)
        answer = browser.send("/look", {"token": token_of(path)}, page=path)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/account"), text_of(answer)
        return browser

    return look


@pytest.fixture
def look_api(begin):
    """A program that looks as somebody, by a token."""

    def look_api(person):
        answer = Client().post(
            "/auth/look", {"token": token_of(begin(person))}, content_type="application/json"
        )
        assert answer.status_code == 201, answer.text
        return Api(answer.json()["access_token"]), answer.json()

    return look_api


def paths_that_take_forms(id):
    for pattern in [*accounts_pages.urlpatterns, *billing_pages.urlpatterns]:
        if "post" in pattern.callback.methods:
            yield reverse(pattern.name, args=[id] if pattern.pattern.converters else [])


def actions_of(owner_connection):
    return [(action, target, reason) for _, action, _, target, reason in rows_of_audit(owner_connection)]


class TestInABrowser:
    def test_it_shows_what_the_customer_sees_under_a_banner(self, look, bob):
        page = look(bob).get("/account").text
        assert f"You look as {bob.user.email} of Acme." in page
        assert "sam@support.example" in page
        assert "End the look" in page

    def test_start_and_end_are_in_the_log(self, look, bob, owner_connection):
        browser = look(bob)
        assert browser.send("/logout", page="/account").status_code == 303
        assert actions_of(owner_connection)[-2:] == [
            ("begin_look", str(bob.user.id), REASON),
            ("end_look", str(bob.user.id), ""),
        ]
        assert browser.get("/account").status_code == 303

    def test_nothing_can_be_sent(self, look, alice, bob, owner_connection):
        """Each page that takes a form, as an owner, whom no page refuses."""
        browser = look(alice)
        for path in paths_that_take_forms(bob.user.id):
            if path in ("/logout", "/look"):
                continue
            refused = browser.post(path)
            assert refused.status_code == 403, path
            assert "You look as a customer" in text_of(refused), path
        with org_context(alice.organization_id):
            assert User.objects.get(id=bob.user.id).is_active
        assert actions_of(owner_connection)[-1][0] == "begin_look"

    def test_reading_notes_no_use_and_prolongs_nothing(self, look, bob, owner_connection):
        browser = look(bob)
        owner_connection.execute(
            "UPDATE accounts_session SET last_seen_at = now() - interval '2 hours' WHERE looking_staff_id IS NOT NULL"
        )
        before = rows_of_looks(owner_connection)
        assert browser.get("/account/sessions").status_code == 200
        assert rows_of_looks(owner_connection) == before
        ((_, _, expires_at),) = before
        assert expires_at <= clock.now() + timedelta(minutes=60)

    def test_no_log_in_is_noted(self, look, bob):
        with org_context(bob.organization_id):
            before = User.objects.get(id=bob.user.id).last_login_at
        look(bob)
        with org_context(bob.organization_id):
            assert User.objects.get(id=bob.user.id).last_login_at == before

    def test_a_link_works_once(self, begin, bob):
        path = begin(bob)
        assert Browser().send("/look", {"token": token_of(path)}, page=path).status_code == 303
        again = Browser().send("/look", {"token": token_of(path)}, page=path)
        assert again.status_code == 422
        assert "not valid any more" in text_of(again)

    def test_opening_the_link_begins_nothing(self, begin, bob, owner_connection):
        assert Browser().get(begin(bob)).status_code == 200
        assert rows_of_looks(owner_connection) == []

    def test_a_new_look_ends_the_one_before(self, look, begin, alice, bob, owner_connection):
        browser = look(bob)
        path = begin(alice)
        assert browser.send("/look", {"token": token_of(path)}, page=path).status_code == 303
        assert [action for action, *_ in actions_of(owner_connection)][-3:] == [
            "begin_look",
            "begin_look",
            "end_look",
        ]
        assert alice.user.email in browser.get("/account").text


class TestByAToken:
    def test_it_says_who_acts_for_whom(self, look_api, sam, bob):
        api, answer = look_api(bob)
        claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
        assert (claims["sub"], claims["act"]) == (str(bob.user.id), {"sub": str(sam.user.id)})
        assert "refresh_token" not in answer
        assert api.get("/users/me").json()["email"] == bob.user.email

    def test_validating_says_so_too(self, look_api, sam, bob):
        """To who presents it, and to a colleague of the customer's who asks about it."""
        _, answer = look_api(bob)
        told = bob.api.post("/auth/validate", {"token": answer["access_token"]}).json()
        assert (told["active"], told["act"]) == (True, {"sub": str(sam.user.id)})
        assert "act" not in bob.api.post("/auth/validate").json()

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("patch", "/users/me"),
            ("post", "/auth/password/change"),
            ("post", "/auth/validate"),
            ("post", "/orgs/invitations"),
            ("post", "/payments/checkout"),
            ("delete", f"/auth/sessions/{UUID(int=7)}"),
            ("delete", f"/users/org/{UUID(int=7)}"),
        ],
    )
    def test_nothing_can_be_changed(self, look_api, alice, method, path):
        api, _ = look_api(alice)
        assert_refused(getattr(api, method)(path, {}), 403, "look_reads_only")

    def test_it_ends_itself_and_nothing_else(self, look_api, bob, owner_connection):
        api, _ = look_api(bob)
        for scope in ("others", "global"):
            assert_refused(api.post("/auth/logout", {"scope": scope}), 403, "look_reads_only")
        assert api.post("/auth/logout").status_code == 200
        assert actions_of(owner_connection)[-1] == ("end_look", str(bob.user.id), "")
        assert_refused(api.get("/users/me"), 401, "invalid_token")
        assert bob.api.get("/users/me").status_code == 200

    def test_as_somebody_else_it_is_none(self, look_api, alice, bob, owner_connection):
        """Injected SQL that gives the session to another user gets nothing by it."""
        _, answer = look_api(bob)
        owner_connection.execute(
            "UPDATE accounts_session SET user_id = %s WHERE looking_staff_id IS NOT NULL", [alice.user.id]
        )
        told = alice.api.post("/auth/validate", {"token": answer["access_token"]}).json()
        assert told == {"active": False}
        ((look_id, *_),) = rows_of_looks(owner_connection)
        assert selectors.live_session(SessionClaims(alice.user.id, alice.organization_id, look_id)) is None

    def test_redis_never_vouches_for_it(self, look_api, bob, desk, acme):
        """Else it would go on for half a minute after its end."""
        api, _ = look_api(bob)
        for _ in range(2):
            assert api.get("/users/me").status_code == 200
        with org_context(acme), connection.cursor() as cursor:
            cursor.execute(
                "SELECT tenancy.end_look(id, 'test') FROM accounts_session WHERE looking_staff_id IS NOT NULL"
            )
        assert_refused(api.get("/users/me"), 401, "invalid_token")


class TestItEnds:
    def test_after_an_hour(self, look_api, bob, owner_connection):
        api, _ = look_api(bob)
        owner_connection.execute(
            "UPDATE tenancy_supportaudit SET at = at - interval '61 minutes' WHERE action = 'begin_look'"
        )
        assert_refused(api.get("/users/me"), 401, "invalid_token")

    def test_when_an_owner_switches_support_off(self, look, look_api, alice, bob, owner_connection):
        api, browser = look_api(alice)[0], look(bob)
        with org_context(alice.organization_id):
            set_support_allowed(is_allowed=False, by=alice.user.id)
        assert_refused(api.get("/users/me"), 401, "invalid_token")
        assert browser.get("/account").status_code == 303
        assert [action for action, *_ in actions_of(owner_connection)][-2:] == ["end_look", "end_look"]

    def test_when_the_customer_ends_it(self, look, bob, owner_connection):
        browser, own = look(bob), browser_of(bob)
        page = own.get("/account/sessions").text
        assert "Support (sam@support.example) looks as you" in page
        ((session_id, *_),) = rows_of_looks(owner_connection)
        assert own.send(f"/account/sessions/{session_id}/end", page="/account/sessions").status_code == 303
        assert browser.get("/account").status_code == 303
        assert actions_of(owner_connection)[-1] == ("end_look", str(bob.user.id), "")

    def test_when_the_staff_member_is_deactivated(self, look_api, sam, bob):
        api, _ = look_api(bob)
        with org_context(SUPPORT_ORGANIZATION_ID):
            User.objects.filter(id=sam.user.id).update(deactivated_at=clock.now())
        assert_refused(api.get("/users/me"), 401, "invalid_token")

    def test_when_the_customer_is_deactivated(self, look_api, bob):
        api, _ = look_api(bob)
        with org_context(bob.organization_id):
            User.objects.filter(id=bob.user.id).update(deactivated_at=clock.now())
        assert_refused(api.get("/users/me"), 401, "invalid_token")


class TestTheCustomersSide:
    def test_owners_see_it_with_its_reason(self, look, alice, bob):
        look(bob).send("/logout", page="/account")
        shown = text_of(browser_of(alice).get("/organization/support"))
        assert "Look as the customer" in shown
        assert "End the look" in shown
        assert REASON in shown


class TestRefusals:
    def test_a_look_needs_a_reason(self, desk, acme, bob, owner_connection):
        before = rows_of_audit(owner_connection)
        for reason in ("", "   "):
            answer = desk.post(f"/admin/organizations/{acme}/users/{bob.user.id}/look", reason=reason)
            assert answer.status_code == 422
        assert rows_of_audit(owner_connection) == before

    def test_it_needs_open_access(self, desk, alice):
        path = f"/admin/organizations/{alice.organization_id}/users/{alice.user.id}/look"
        assert desk.post(path, reason=REASON).status_code == 403

    def test_other_organizations_people_are_not_there(self, desk, acme, charlie):
        assert (
            desk.post(f"/admin/organizations/{acme}/users/{charlie.user.id}/look", reason=REASON).status_code
            == 404
        )

    def test_nobody_who_was_deactivated(self, desk, acme, bob):
        with org_context(acme):
            User.objects.filter(id=bob.user.id).update(deactivated_at=clock.now())
        assert (
            desk.post(f"/admin/organizations/{acme}/users/{bob.user.id}/look", reason=REASON).status_code
            == 404
        )

    def test_a_signed_link_without_a_row_in_the_log_begins_nothing(self, alice):
        """Who has SECRET_KEY still can't look unseen."""
        link = make_link("look", organization_id=alice.organization_id, subject_id=uuid4())
        answer = Client().post("/auth/look", {"token": token_of(link)}, content_type="application/json")
        assert_refused(answer, 422, "validation_failed")

    def test_a_row_of_another_organization_begins_nothing(self, begin, alice, bob, charlie):
        begin(bob)
        with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as owner:
            (look_id,) = owner.execute(
                "SELECT id FROM tenancy_supportaudit WHERE action = 'begin_look'"
            ).fetchone()
        link = make_link("look", organization_id=charlie.organization_id, subject_id=look_id)
        answer = Client().post("/auth/look", {"token": token_of(link)}, content_type="application/json")
        assert_refused(answer, 422, "validation_failed")

    def test_once_support_is_switched_off_a_link_begins_nothing(self, begin, alice, bob):
        link = begin(bob)
        with org_context(alice.organization_id):
            set_support_allowed(is_allowed=False, by=alice.user.id)
        answer = Client().post("/auth/look", {"token": token_of(link)}, content_type="application/json")
        assert_refused(answer, 422, "validation_failed")

    def test_on_again_an_older_link_begins_nothing(self, begin, alice, bob):
        link = begin(bob)
        with org_context(alice.organization_id):
            set_support_allowed(is_allowed=False, by=alice.user.id)
            set_support_allowed(is_allowed=True, by=alice.user.id)
        answer = Client().post("/auth/look", {"token": token_of(link)}, content_type="application/json")
        assert_refused(answer, 422, "validation_failed")

    def test_a_link_of_another_kind_begins_nothing(self, alice):
        link = make_link("verify-email", organization_id=alice.organization_id, subject_id=alice.user.id)
        answer = Client().post("/auth/look", {"token": token_of(link)}, content_type="application/json")
        assert_refused(answer, 422, "validation_failed")

    def test_the_application_cant_begin_one(self, alice):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            org_context(alice.organization_id),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT tenancy.begin_look(%s, %s, 'x')", [alice.organization_id, alice.user.id])

    def test_another_organization_cant_end_one(self, look_api, bob, charlie, owner_connection):
        api, _ = look_api(bob)
        ((look_id, *_),) = rows_of_looks(owner_connection)
        with org_context(charlie.organization_id), connection.cursor() as cursor:
            cursor.execute("SELECT tenancy.end_look(%s, 'x')", [look_id])
            cursor.execute("SELECT tenancy.look_lasts(%s, %s)", [look_id, bob.user.id])
            assert cursor.fetchone() == (False,)
        assert api.get("/users/me").status_code == 200


class TestReadingAllowedAlone:
    """PostgreSQL refuses what the door let pass."""

    def test_what_is_open_and_what_follows(self, alice):
        with ReadingAllowedAlone() as reading:
            with org_context(alice.organization_id):
                User.objects.update(name="Before")
                reading.from_now_on()
                with pytest.raises(InternalError, match="read-only"):
                    User.objects.update(name="After")
                transaction.set_rollback(True)
            with org_context(alice.organization_id):
                assert User.objects.get(id=alice.user.id).name != "After"
                with pytest.raises(InternalError, match="read-only"):
                    User.objects.update(name="After")
                transaction.set_rollback(True)
        with org_context(alice.organization_id):
            assert User.objects.update(name="Again")

    def test_a_look_reads_so(self, look_api, alice, monkeypatch):
        read = selectors.members

        def write(**query):
            User.objects.update(name="Changed")
            return read(**query)

        monkeypatch.setattr("accounts.api.users.selectors.members", write)
        api, _ = look_api(alice)
        assert api.get("/users/org").status_code == 500
        with org_context(alice.organization_id):
            assert User.objects.get(id=alice.user.id).name != "Changed"


def rows_of_looks(owner_connection):
    return owner_connection.execute(
        "SELECT id, last_seen_at, expires_at FROM accounts_session WHERE looking_staff_id IS NOT NULL"
    ).fetchall()
