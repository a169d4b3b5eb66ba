"""Every screen of the admin: without a staff session nothing, without an open access nothing of an organization."""

from uuid import uuid4

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from support.urls import urlpatterns
from tenancy.context import org_context
from tenancy.models import Mail
from tests.conftest import PASSWORD
from tests.isolation.test_models import make_one_of_each
from tests.support.conftest import acme, desk, sam, severed  # noqa: F401 (fixtures)
from tests.support.desk import rows_of_audit

# Without a session.
OPEN = {
    "support_login": "/admin/login",
    "support_second_factor": "/admin/login/second-factor",
    "support_logout": "/admin/logout",
}
OF_ALL = {"index": "/admin", "support_audit": "/admin/audit"}
HOME = "/admin/organizations/{organization}"
BY_ORGANIZATION = {
    "support_organization": HOME,
    "support_users": f"{HOME}/users",
    "support_user": f"{HOME}/users/{{user}}",
    "support_events": f"{HOME}/events",
    "support_event": f"{HOME}/events/{{event}}",
    "support_mails": f"{HOME}/mails",
    "support_mail": f"{HOME}/mails/{{mail}}",
}
POSTED = {
    "support_open": f"{HOME}/open",
    "support_act": f"{HOME}/actions",
    "support_look": f"{HOME}/users/{{user}}/look",
}
ROUTES = OPEN | OF_ALL | BY_ORGANIZATION | POSTED
SCREENS = OF_ALL | BY_ORGANIZATION


def ids_of(person):
    with org_context(person.organization_id):
        mail = Mail.objects.first()
    return {
        "organization": person.organization_id,
        "user": person.user.id,
        "event": f"evt_{person.user.email}",
        "mail": mail.id,
    }


@pytest.fixture
def both(alice, charlie):
    for person in (alice, charlie):
        with org_context(person.organization_id):
            make_one_of_each(person.user.email)
    return alice, charlie


def test_every_route_is_covered():
    assert {pattern.name for pattern in urlpatterns} == ROUTES.keys()


@pytest.mark.parametrize("name", SCREENS | POSTED)
class TestWithoutStaff:
    def test_there_is_no_more_than_the_log_in(self, name, both):
        self.assert_log_in(Client(), name, both)

    def test_a_customers_token_counts_for_nothing(self, name, both):
        headers = {"Authorization": f"Bearer {both[0].access_token}"}
        self.assert_log_in(Client(headers=headers), name, both)

    def test_a_customers_session_counts_for_nothing(self, name, both):
        for value in (both[0].session_id, both[0].access_token):
            client = Client()
            client.cookies["support_session"] = value
            self.assert_log_in(client, name, both)

    def assert_log_in(self, client, name, both):
        path = ROUTES[name].format(**ids_of(both[0]))
        with CaptureQueriesContext(connections["support"]) as queries:
            answer = client.post(path) if name in POSTED else client.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/login")
        assert len(queries) == 0


@pytest.mark.parametrize("name", SCREENS | POSTED)
def test_a_signed_cookie_of_a_customers_session_is_none(name, both, settings):
    """As if the key that signs cookies had leaked: PostgreSQL asks whose session it is."""
    from django.core.signing import get_cookie_signer

    client = Client()
    signer = get_cookie_signer(salt="support_session" + "support.support_session")
    client.cookies["support_session"] = signer.sign(both[0].session_id)
    path = ROUTES[name].format(**ids_of(both[0]))
    answer = client.post(path) if name in POSTED else client.get(path)
    assert answer.headers["Location"] == "/admin/login"


class TestStaff:
    @pytest.mark.parametrize("name", SCREENS)
    def test_an_open_access_shows_the_screen(self, name, both, desk):  # noqa: F811
        desk.open(both[0].organization_id)
        answer = desk.get(ROUTES[name].format(**ids_of(both[0])))
        assert answer.status_code == 200

    @pytest.mark.parametrize("name", SCREENS)
    def test_it_shows_without_the_app_role(self, name, both, desk, severed):  # noqa: F811
        ids = {"organization": both[0].organization_id, "user": both[0].user.id}
        desk.open(both[0].organization_id)
        with connections["support"].cursor() as support:
            support.execute("SELECT current_user")
            assert support.fetchone() == ("saas_support",)
        ids |= {"event": f"evt_{both[0].user.email}", "mail": self.mail_of(desk, both[0].organization_id)}
        assert desk.get(ROUTES[name].format(**ids)).status_code == 200

    @staticmethod
    def mail_of(desk, organization_id):  # noqa: F811
        page = desk.get(f"/admin/organizations/{organization_id}/mails").content.decode()
        return page.partition("/mails/")[2].partition('"')[0]

    @pytest.mark.parametrize("name", SCREENS)
    def test_another_organization_shows_nothing(self, name, both, desk):  # noqa: F811
        alice, charlie = both
        desk.open(alice.organization_id)
        answer = desk.get(ROUTES[name].format(**ids_of(charlie)))
        assert answer.status_code == (200 if name in (*OF_ALL, "support_organization") else 403)
        for secret in ("Globex", "charlie@", "evt_charlie", "cus_charlie", "accounts/welcome"):
            assert secret not in answer.content.decode()

    @pytest.mark.parametrize("name", ["support_user", "support_event", "support_mail"])
    def test_anothers_row_is_not_found_in_ones_own(self, name, both, desk):  # noqa: F811
        for person in both:
            desk.open(person.organization_id)
        foreign = ids_of(both[1]) | {"organization": both[0].organization_id}
        assert desk.get(ROUTES[name].format(**foreign)).status_code == 404
        assert desk.get(ROUTES[name].format(**ids_of(both[1]))).status_code == 200

    @pytest.mark.parametrize(
        "action", ["deactivate_user", "end_sessions", "resend_verification", "replay_event", "resend_mail"]
    )
    def test_an_action_on_anothers_row_is_not_found(self, action, both, desk, owner_connection):  # noqa: F811
        for person in both:
            desk.open(person.organization_id)
        ids = ids_of(both[1])
        target = ids[{"replay_event": "event", "resend_mail": "mail"}.get(action, "user")]
        before = rows_of_audit(owner_connection)
        assert desk.act(both[0].organization_id, action, target).status_code == 404
        assert desk.act(uuid4(), action, target).status_code == 403
        assert rows_of_audit(owner_connection) == before

    def test_no_screen_holds_a_hash(self, both, desk):  # noqa: F811
        with org_context(both[0].organization_id):
            hashed = User.objects.get().password
        desk.open(both[0].organization_id)
        for path in SCREENS.values():
            page = desk.get(path.format(**ids_of(both[0]))).content.decode()
            assert hashed not in page
            assert PASSWORD not in page
