"""A suspended organization writes nothing of its own; everything else goes on."""

import pytest

from tenancy.context import org_context
from tenancy.models import Organization
from tests.accounts.asking import assert_refused, queries
from tests.conftest import PASSWORD, Api


@pytest.fixture
def suspended(alice, bob):
    alice.api.get("/users/me")  # Redis vouches for the session, and knows nothing of the suspension.
    with org_context(alice.organization_id):
        Organization.objects.update(access="read_only")
    return alice


class TestReadOnly:
    def test_members_can_be_read_and_not_changed(self, suspended, bob):
        assert suspended.api.get("/users/org").status_code == 200
        change = suspended.api.patch(f"/users/org/{bob.user.id}", {"role": "admin"})
        assert_refused(change, 402, "subscription_required")
        assert_refused(suspended.api.delete(f"/users/org/{bob.user.id}"), 402, "subscription_required")
        assert suspended.api.get("/users/org?role=admin").json()["data"] == []

    def test_a_persons_own_things_go_on(self, suspended, anonymous):
        assert suspended.api.patch("/users/me", {"name": "Al"}).status_code == 200
        log_in = anonymous.post("/auth/login", {"email": suspended.user.email, "password": PASSWORD})
        assert log_in.status_code == 200
        assert anonymous.post("/auth/refresh", {"refresh_token": suspended.refresh_token}).status_code == 200
        other = Api(log_in.json()["access_token"])
        assert other.delete(f"/auth/sessions/{suspended.session_id}").status_code == 204
        assert other.post("/auth/logout").status_code == 200

    def test_it_ends_with_the_suspension_at_once(self, suspended, bob):
        with org_context(suspended.organization_id):
            Organization.objects.update(access="full")
        assert suspended.api.patch(f"/users/org/{bob.user.id}", {"role": "admin"}).status_code == 200

    def test_others_do_not_notice(self, suspended, charlie):
        dora = charlie.api.get("/users/org").json()["data"][0]
        assert charlie.api.patch(f"/users/org/{dora['id']}", {"role": "owner"}).status_code == 200

    def test_reads_cost_no_query_for_it(self, suspended):
        suspended.api.get("/users/me")
        with queries() as found:
            suspended.api.get("/auth/sessions")
        assert len(found) == 1
