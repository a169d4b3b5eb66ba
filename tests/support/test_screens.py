"""What the screens show, in pages, and at a cost that does not grow with their rows."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from accounts.models import Session, User
from accounts.services.members import set_support_allowed
from billing.models import Customer, StripeEvent, Subscription
from tenancy.context import org_context
from tenancy.mails import queue_mail
from tenancy.models import Mail, Organization
from tests.support.desk import rows_of_audit, text_of

NOW = datetime.now(UTC)


def add_rows(person, count):
    """So many more of everything that a list shows."""
    with org_context(person.organization_id):
        user = User.objects.get(id=person.user.id)
        for _ in range(count):
            number = uuid4().hex[:12]
            User.objects.create(email=f"{number}@acme.example", name="Many", password="!")
            StripeEvent.objects.create(stripe_id=f"evt_{number}", type="invoice.paid", created=1, payload={})
            Mail.objects.create(user=user, message="accounts/welcome", occasion=number, message_id=number)
            Session.objects.create(user=user, last_seen_at=NOW, expires_at=NOW + timedelta(days=1))


LISTS = ["", "/users", "/users/{user}", "/events", "/mails"]


def path_of(part, person):
    return f"/admin/organizations/{person.organization_id}{part.format(user=person.user.id)}"


class TestLists:
    @pytest.mark.parametrize("part", LISTS)
    def test_ten_more_rows_cost_no_more_queries(self, part, desk, acme, alice):
        add_rows(alice, 1)
        self.assert_constant(desk, path_of(part, alice), lambda: add_rows(alice, 10))

    @pytest.mark.parametrize("path", ["/admin/audit", "/admin?q=acme", "/admin"])
    def test_ten_more_accesses_cost_no_more_queries(self, path, desk, acme):
        self.assert_constant(desk, path, lambda: [desk.open(acme) for _ in range(10)])

    @staticmethod
    def assert_constant(desk, path, add):
        counts = []
        for _ in range(2):
            with CaptureQueriesContext(connections["support"]) as queries:
                assert desk.client.get(path).status_code == 200
            counts.append(len(queries))
            add()
        assert counts[0] == counts[1]
        assert counts[0] <= 20

    @pytest.mark.parametrize("part", LISTS[1:])
    def test_they_have_pages(self, part, desk, acme, alice):
        add_rows(alice, 60)
        first, second = (text_of(desk.get(path_of(part, alice), page=page)) for page in (1, 2))
        assert "Page 1 of 2" in first
        assert "Page 2 of 2" in second

    def test_the_audit_log_has_pages(self, desk, alice, owner_connection):
        owner_connection.execute(
            "INSERT INTO tenancy_supportaudit (id, at, staff_id, staff_email, action, reason, target, details, "
            "transaction_number) SELECT gen_random_uuid(), now(), gen_random_uuid(), 'sue@support.example', "
            "'search', '', 'many', '{}', 1 FROM generate_series(1, 60)"
        )
        assert "Page 1 of 2" in text_of(desk.get("/admin/audit"))
        assert "Page 2 of 2" in text_of(desk.get("/admin/audit", page=2))

    @pytest.mark.parametrize("page", ["0", "-1", "x", "9" * 30, "\0"])
    def test_a_page_that_is_none_is_no_error(self, page, desk, acme):
        for path in ("/admin/audit", f"/admin/organizations/{acme}/users"):
            assert desk.get(path, page=page, q=page, state=page).status_code == 200
        assert desk.get("/admin", page=page, q="acme").status_code == 200


class TestSearch:
    @pytest.fixture
    def billed(self, alice):
        with org_context(alice.organization_id):
            customer = Customer.objects.create(stripe_id="cus_acme")
            Subscription.objects.create(customer=customer, stripe_id="sub_acme", status="active")

    @pytest.mark.parametrize(
        "query", ["acme", "ACME", "cme", "alice@acme.example", "alice@", "cus_acme", "sub_acme"]
    )
    def test_it_finds_by(self, query, desk, billed, charlie):
        page = text_of(desk.get("/admin", q=query))
        assert "Acme" in page
        assert "Globex" not in page

    def test_nobody_is_named_where_support_is_switched_off(self, desk, alice):
        with org_context(alice.organization_id):
            set_support_allowed(is_allowed=False, by=alice.user.id)
        # Or an address could be spelled out, a letter at a time.
        assert "Acme" not in text_of(desk.get("/admin", q=alice.user.email))
        found = text_of(desk.get("/admin", q="Acme"))
        assert "Acme" in found
        assert alice.user.email not in found

    def test_each_is_logged(self, desk, alice, owner_connection):
        desk.get("/admin", q="alice@acme.example")
        assert rows_of_audit(owner_connection) == [
            ("sam@support.example", "search", None, "alice@acme.example", "")
        ]

    @pytest.mark.parametrize("query", ["", "ac", " a "])
    def test_too_short_a_word_is_no_search(self, query, desk, alice, owner_connection):
        answer = desk.get("/admin", q=query)
        assert answer.status_code == 200
        assert rows_of_audit(owner_connection) == []

    def test_it_has_pages(self, desk, owner_connection):
        owner_connection.execute(
            "INSERT INTO tenancy_organization (id, slug, name, plan, access, support_allowed, created_at) "
            "SELECT gen_random_uuid(), 'many-' || n, 'Many', 'free', 'full', true, now() FROM generate_series(1, 60) n"
        )
        first, second = (desk.get("/admin", q="many", page=page).content.decode() for page in (1, 2))
        assert (first.count("many-"), second.count("many-")) == (50, 10)
        assert "Next" in first
        assert "Next" not in second


class TestOpening:
    def test_it_takes_a_reason_and_is_logged(self, desk, alice, owner_connection):
        path = f"/admin/organizations/{alice.organization_id}"
        closed = text_of(desk.get(path))
        assert "Open access" in closed
        assert "Acme" not in closed

        assert desk.open(alice.organization_id, "ticket 7").headers["Location"] == path

        page = text_of(desk.get(path))
        assert "Access is open for 60 more minutes" in page
        for shown in ("Acme", "alice@acme.example", "free", "accounts/welcome", "ticket 7"):
            assert shown in page
        assert rows_of_audit(owner_connection) == [
            ("sam@support.example", "open_access", alice.organization_id, "", "ticket 7")
        ]

    @pytest.mark.parametrize("reason", ["", "   "])
    def test_without_a_reason_it_stays_closed(self, reason, desk, alice, owner_connection):
        assert desk.open(alice.organization_id, reason).status_code == 200
        assert "Acme" not in text_of(desk.get(f"/admin/organizations/{alice.organization_id}"))
        assert rows_of_audit(owner_connection) == []

    def test_an_organization_may_refuse(self, desk, alice):
        with org_context(alice.organization_id):
            Organization.objects.update(support_allowed=False)
        refused = desk.open(alice.organization_id)
        assert refused.status_code == 409
        assert "switched support access off" in text_of(refused)

    def test_one_that_does_not_exist_is_not_found(self, desk):
        assert desk.open(uuid4()).status_code == 404

    def test_after_an_hour_it_is_closed(self, desk, acme, owner_connection):
        owner_connection.execute("UPDATE tenancy_supportaudit SET at = at - interval '61 minutes'")
        assert "Open access" in text_of(desk.get(f"/admin/organizations/{acme}"))
        assert desk.get(f"/admin/organizations/{acme}/users").status_code == 403


class TestRows:
    def test_a_user_shows_with_sessions_and_without_a_password(self, desk, acme, alice):
        page = text_of(desk.get(f"/admin/organizations/{acme}/users/{alice.user.id}"))
        for shown in ("alice@acme.example", "owner", "192.0.2.1", "not yet"):
            assert shown in page
        assert "bcrypt" not in page

    def test_users_are_searched_by_name_and_address(self, desk, acme, bob):
        path = f"/admin/organizations/{acme}/users"
        for query in ("bob@", "Bo"):
            page = text_of(desk.get(path, q=query))
            assert "bob@acme.example" in page
            assert "alice@" not in page

    def test_an_event_shows_its_error_and_payload(self, desk, acme):
        with org_context(acme):
            StripeEvent.objects.create(
                stripe_id="evt_1",
                type="invoice.paid",
                created=1,
                payload={"<b>": 1},
                state="failed",
                error="Boom",
            )
        page = desk.get(f"/admin/organizations/{acme}/events/evt_1")
        assert "Boom" in text_of(page)
        assert "&lt;b&gt;" in page.content.decode()
        for state, is_shown in (("failed", True), ("processed", False)):
            listed = text_of(desk.get(f"/admin/organizations/{acme}/events", state=state))
            assert ("evt_1" in listed) is is_shown

    def test_a_mail_shows_without_its_facts(self, desk, acme, alice):
        with org_context(acme):
            mail = Mail.objects.get()
            Mail.objects.update(facts={"link": "https://example.com/secret"}, state="failed", error="refused")
        page = text_of(desk.get(f"/admin/organizations/{acme}/mails/{mail.id}"))
        assert "refused" in page
        assert "secret" not in page
        assert "alice@acme.example" in text_of(desk.get(f"/admin/organizations/{acme}/mails", state="failed"))

    def test_a_mail_to_somebody_without_an_account_shows_its_address(self, desk, acme, alice):
        with org_context(acme):
            queue_mail("accounts/welcome", address="ines@example.com", occasion="test")
        for path in (f"/admin/organizations/{acme}", f"/admin/organizations/{acme}/mails"):
            answer = desk.get(path)
            assert (answer.status_code, "ines@example.com" in text_of(answer)) == (200, True)

    def test_the_audit_log_is_filtered(self, desk, acme, charlie):
        desk.open(charlie.organization_id, "ticket 8")
        page = text_of(desk.get("/admin/audit", organization_id=str(acme)))
        assert "ticket 7" in page
        assert "ticket 8" not in page
        assert "None." in text_of(desk.get("/admin/audit", staff_email="sue@support.example"))
        assert "ticket 8" in text_of(desk.get("/admin/audit", action="open_access"))


def test_another_staff_members_access_opens_nothing(desk, acme, make_desk):
    other = make_desk("sue@support.example")
    assert "Open access" in text_of(other.get(f"/admin/organizations/{acme}"))
    assert "ticket 7" in text_of(other.get("/admin/audit"))
