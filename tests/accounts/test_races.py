"""Requests that meet: threads with connections of their own, let go at the same moment."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from django.db import connections

from accounts.tokens import verify_refresh_token
from saas.kit.rate_limits import ANONYMOUS
from tests.accounts.asking import count, jobs
from tests.conftest import PASSWORD, Api


def at_once(*calls):
    barrier = Barrier(len(calls))

    def run(call):
        try:
            barrier.wait(timeout=30)
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def register(email, org):
    return lambda: Api().post("/auth/register", {"email": email, "password": PASSWORD, "org": org})


class TestRegister:
    def test_one_address_is_registered_once(self, owner_connection):
        # No more than a process lets wait for a hash.
        emails = ["nora@new.example", "Nora@New.example"] * 7

        responses = at_once(*(register(email, f"Org {number}") for number, email in enumerate(emails)))

        assert Counter(response.status_code for response in responses) == {201: 1, 409: 13}
        assert {response.json()["code"] for response in responses if response.status_code == 409} == {
            "email_taken"
        }
        assert count(owner_connection, "accounts_user") == count(owner_connection, "accounts_session") == 1
        assert count(owner_connection, "tenancy_organization") == 2
        assert len(jobs(owner_connection, "send_mail")) == 1

    def test_one_name_gets_as_many_slugs_as_organizations(self, owner_connection):
        responses = at_once(*(register(f"n{number}@new.example", "Same") for number in range(12)))

        assert [response.status_code for response in responses] == [201] * 12
        slugs = owner_connection.execute(
            "SELECT slug FROM tenancy_organization WHERE name = 'Same'"
        ).fetchall()
        assert len(set(slugs)) == 12


class TestRefresh:
    def test_twenty_of_one_token_make_one_successor(self, alice):
        def refresh():
            return Api().post("/auth/refresh", {"refresh_token": alice.refresh_token})

        responses = at_once(*[refresh] * 20)

        assert [response.status_code for response in responses] == [200] * 20
        tokens = [response.json() for response in responses]
        assert {verify_refresh_token(each["refresh_token"]).generation for each in tokens} == {2}
        assert all(Api(each["access_token"]).get("/users/me").status_code == 200 for each in tokens[:3])

    def test_a_log_out_meanwhile_wins(self, alice):
        def refresh():
            return Api().post("/auth/refresh", {"refresh_token": alice.refresh_token})

        responses = at_once(refresh, refresh, lambda: alice.api.post("/auth/logout"), refresh)

        assert {response.status_code for response in responses} <= {200, 401}
        refreshed = [response.json() for response in responses if "access_token" in response.json()]
        for tokens in refreshed:
            assert Api(tokens["access_token"]).get("/users/me").status_code == 401
            again = Api().post("/auth/refresh", {"refresh_token": tokens["refresh_token"]})
            assert again.json()["code"] == "invalid_refresh_token"


class TestMembers:
    def test_two_owners_can_not_leave_at_once(self, alice, bob):
        alice.api.patch(f"/users/org/{bob.user.id}", {"role": "owner"})

        responses = at_once(
            lambda: alice.api.patch(f"/users/org/{alice.user.id}", {"role": "member"}),
            lambda: bob.api.delete(f"/users/org/{bob.user.id}"),
        )

        assert sorted(response.status_code for response in responses) in ([200, 409], [204, 409])


class TestLogin:
    def test_parallel_guesses_are_no_more_than_others(self, alice):
        def guess():
            return Api().post("/auth/login", {"email": "alice@acme.example", "password": "wrong-guess"})

        # No more than a process lets wait for a hash.
        responses = at_once(*[guess] * 14)

        statuses = Counter(response.status_code for response in responses)
        assert statuses == {401: 5, 429: 9}
        assert ANONYMOUS.amount > 14
