import os
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
from django.db import connections

from accounts.tokens import verify_access_token
from tests.accounts.asking import assert_refused, is_waiting, queries
from tests.conftest import PASSWORD, Api
from tests.project.launching import eventually


def log_in(person, device="Second"):
    headers = {"User-Agent": device}
    return Api().post("/auth/login", {"email": person.user.email, "password": PASSWORD}, **headers).json()


class TestListSessions:
    def test_it_works(self, alice, bob):
        tokens = log_in(alice)

        response = Api(tokens["access_token"]).get("/auth/sessions")

        assert response.status_code == 200
        newest, oldest = response.json()["data"]
        assert set(newest) == {"id", "created_at", "last_seen_at", "ip", "user_agent", "current"}
        assert (newest["user_agent"], newest["ip"], newest["current"]) == ("Second", "127.0.0.1", True)
        assert (oldest["id"], oldest["ip"], oldest["current"]) == (alice.session_id, "192.0.2.1", False)

    def test_it_leaves_out_what_has_ended(self, alice, fake_clock):
        other = log_in(alice)
        Api(other["access_token"]).post("/auth/logout")
        log_in(alice, "Third")

        agents = [each["user_agent"] for each in alice.api.get("/auth/sessions").json()["data"]]
        assert sorted(agents) == ["Third", "tests"]

        fake_clock.advance(days=31)
        fresh = log_in(alice, "Fourth")
        agents = [
            each["user_agent"] for each in Api(fresh["access_token"]).get("/auth/sessions").json()["data"]
        ]
        assert agents == ["Fourth"]

    def test_more_of_them_cost_no_more_queries(self, alice):
        alice.api.get("/auth/sessions")
        counts = []
        for _ in range(2):
            with queries() as asked:
                alice.api.get("/auth/sessions")
            counts.append(len(asked))
            for number in range(5):
                log_in(alice, f"Device {number}")
        assert counts[0] == counts[1]

    def test_a_long_user_agent_is_cut(self, alice):
        tokens = log_in(alice, "x" * 1000)

        assert Api(tokens["access_token"]).get("/auth/sessions").json()["data"][0]["user_agent"] == "x" * 300

    def test_it_needs_a_token(self, anonymous):
        assert_refused(anonymous.get("/auth/sessions"), 401, "not_authenticated")


class TestDeleteSession:
    def test_it_ends_the_session_at_once(self, alice):
        other = log_in(alice)
        assert Api(other["access_token"]).get("/users/me").status_code == 200
        listed = alice.api.get("/auth/sessions").json()["data"]
        [session_id] = [each["id"] for each in listed if not each["current"]]

        response = alice.api.delete(f"/auth/sessions/{session_id}")

        assert (response.status_code, response.content) == (204, b"")
        assert_refused(Api(other["access_token"]).get("/users/me"), 401, "invalid_token")
        refreshed = Api().post("/auth/refresh", {"refresh_token": other["refresh_token"]})
        assert_refused(refreshed, 401, "invalid_refresh_token")
        assert alice.api.get("/users/me").status_code == 200
        assert_refused(alice.api.delete(f"/auth/sessions/{session_id}"), 404, "not_found")

    def test_it_may_be_ones_own(self, alice):
        assert alice.api.delete(f"/auth/sessions/{alice.session_id}").status_code == 204
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")

    def test_it_hides_what_is_not_the_callers(self, alice, bob, charlie):
        for session_id in (bob.session_id, charlie.session_id, uuid4()):
            assert_refused(alice.api.delete(f"/auth/sessions/{session_id}"), 404, "not_found")
        assert bob.api.get("/users/me").status_code == 200
        assert charlie.api.get("/users/me").status_code == 200

    def test_an_id_that_is_none_is_not_found(self, alice):
        assert_refused(alice.api.delete("/auth/sessions/current"), 404, "not_found")


def test_of_two_that_end_a_session_at_once_one_did(alice, owner_connection):
    other = log_in(alice)
    session_id = verify_access_token(other["access_token"]).sid

    def end():
        try:
            return alice.api.delete(f"/auth/sessions/{session_id}").status_code
        finally:
            connections.close_all()

    with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as first, ThreadPoolExecutor(1) as pool:
        first.execute(
            "UPDATE accounts_session SET revoked_at = now(), revoke_reason = 'first' WHERE id = %s",
            [session_id],
        )
        second = pool.submit(end)
        assert eventually(lambda: is_waiting(owner_connection))
        first.commit()
        assert second.result(timeout=30) == 404
    reason = "SELECT revoke_reason FROM accounts_session WHERE id = %s"
    assert owner_connection.execute(reason, [session_id]).fetchone() == ("first",)
