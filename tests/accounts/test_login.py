import pytest
from django.contrib.auth.hashers import get_hashers
from django.db import transaction
from django_redis import get_redis_connection

from accounts.hashers import BulkheadPasswordHasher, HashedInTransaction
from accounts.models import Session, User
from accounts.passwords import hash_password, verify_password
from accounts.services import login
from accounts.services.login import log_in
from saas.kit import attempts
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID
from tests.accounts.asking import assert_field_errors, assert_refused, count
from tests.conftest import DEVICE, PASSWORD, Api

WRONG = "not-the-right-one"


def credentials(email="alice@acme.example", password=PASSWORD):
    return {"email": email, "password": password}


def staff_member():
    encoded = hash_password(PASSWORD)
    with org_context(SUPPORT_ORGANIZATION_ID):
        return User.objects.create(email="sam@support.example", password=encoded, is_staff=True)


def deactivate(person, owner):
    owner.execute("UPDATE accounts_user SET deactivated_at = now() WHERE id = %s", [person.user.id])


class CountingHasher(BulkheadPasswordHasher):
    """Notes the cost of each hash that is made."""

    costs = []

    def encode(self, password, salt):
        self.costs.append(salt.decode()[4:6])
        return super().encode(password, salt)


@pytest.fixture
def hashing(settings, alice):
    CountingHasher.costs.clear()
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    yield CountingHasher.costs
    get_hashers.cache_clear()


class TestLogin:
    def test_it_opens_a_session(self, anonymous, alice):
        response = anonymous.post("/auth/login", credentials(), **{"User-Agent": "Browser 1"})

        assert response.status_code == 200
        tokens = response.json()
        assert set(tokens) == {
            "access_token",
            "refresh_token",
            "token_type",
            "expires_in",
            "user_id",
            "org_id",
        }
        assert (tokens["user_id"], tokens["org_id"]) == (str(alice.user.id), str(alice.organization_id))
        assert response.headers["Cache-Control"] == "no-store"
        sessions = Api(tokens["access_token"]).get("/auth/sessions").json()["data"]
        assert [session["user_agent"] for session in sessions if session["current"]] == ["Browser 1"]

    def test_it_does_not_regard_the_case_of_the_address(self, anonymous, alice):
        assert anonymous.post("/auth/login", credentials("ALICE@ACME.example")).status_code == 200

    def test_it_ignores_a_bad_bearer_token(self, alice):
        assert Api("rubbish").post("/auth/login", credentials()).status_code == 200

    def test_it_moves_the_last_log_in(self, anonymous, alice, fake_clock):
        fake_clock.advance(minutes=1)
        tokens = anonymous.post("/auth/login", credentials()).json()

        last = Api(tokens["access_token"]).get("/users/me").json()["last_login_at"]
        assert last == fake_clock.moment.isoformat().replace("+00:00", "Z")

    def test_it_reports_fields(self, anonymous):
        assert_field_errors(
            anonymous.post("/auth/login", {"email": 5, "passwort": "x"}),
            ("#/email", "invalid"),
            ("#/password", "required"),
            ("#/passwort", "unknown_field"),
        )


class TestRefusals:
    def test_they_are_all_alike(self, anonymous, alice, bob, owner_connection):
        deactivate(bob, owner_connection)
        staff_member()
        responses = [
            anonymous.post("/auth/login", credentials("nobody@acme.example")),
            anonymous.post("/auth/login", credentials(password=WRONG)),
            anonymous.post("/auth/login", credentials("bob@acme.example")),
            anonymous.post("/auth/login", credentials("sam@support.example")),
        ]

        bodies = []
        for response in responses:
            assert_refused(response, 401, "invalid_credentials")
            assert response.headers["WWW-Authenticate"] == "Bearer"
            bodies.append({**response.json(), "request_id": ""})
        assert all(body == bodies[0] for body in bodies)

    def test_they_do_the_same_hashing_work(self, anonymous, bob, hashing, owner_connection):
        deactivate(bob, owner_connection)
        staff_member()
        work = []
        for email, password in [
            ("alice@acme.example", WRONG),
            ("nobody@acme.example", PASSWORD),
            ("bob@acme.example", PASSWORD),
            ("sam@support.example", PASSWORD),
        ]:
            hashing.clear()
            assert anonymous.post("/auth/login", credentials(email, password)).status_code == 401
            work.append(list(hashing))
        assert work == [["04"]] * 4

    def test_the_hash_of_nobody_has_no_password(self):
        assert not verify_password("", None)
        assert not verify_password("." * 31, None)


class TestTooManyFailures:
    @pytest.mark.parametrize("email", ["alice@acme.example", "nobody@acme.example"])
    def test_they_block_the_address_for_a_while(self, anonymous, alice, email):
        for _ in range(5):
            assert_refused(
                anonymous.post("/auth/login", credentials(email, WRONG)), 401, "invalid_credentials"
            )

        blocked = anonymous.post("/auth/login", credentials(email.upper(), PASSWORD))

        assert_refused(blocked, 429, "too_many_attempts")
        assert 25 <= int(blocked.headers["Retry-After"]) <= 30

    @pytest.mark.parametrize("email", ["alice@acme.example", "nobody@acme.example"])
    def test_the_block_grows(self, anonymous, alice, email, redis):
        for _ in range(5):
            anonymous.post("/auth/login", credentials(email, WRONG))
        waits = []
        for _ in range(6):
            blocked = anonymous.post("/auth/login", credentials(email, WRONG))
            waits.append(int(blocked.headers["Retry-After"]))
            end_block(redis)
            assert anonymous.post("/auth/login", credentials(email, WRONG)).status_code == 401
        expected = [30, 60, 120, 240, 480, 900]
        assert all(longest - 5 <= wait <= longest for wait, longest in zip(waits, expected, strict=True)), (
            waits
        )

    def test_another_address_is_not_blocked(self, anonymous, alice, bob):
        for _ in range(6):
            anonymous.post("/auth/login", credentials("bob@acme.example", WRONG))

        assert anonymous.post("/auth/login", credentials()).status_code == 200

    def test_a_success_forgets_them(self, anonymous, alice):
        for _ in range(3):
            for _ in range(4):
                assert anonymous.post("/auth/login", credentials(password=WRONG)).status_code == 401
            assert anonymous.post("/auth/login", credentials()).status_code == 200

    def test_a_blocked_attempt_hashes_nothing(self, anonymous, hashing):
        for _ in range(5):
            attempts.record_failure("alice@acme.example")

        assert anonymous.post("/auth/login", credentials()).status_code == 429
        assert hashing == []


@pytest.fixture
def redis():
    return get_redis_connection("default")


def end_block(redis):
    """As if its time were over; the failures stay known."""
    for key in redis.scan_iter("{attempts:*}:block"):
        redis.delete(key)


class TestHashing:
    def test_it_never_happens_in_a_transaction(self, alice):
        with transaction.atomic(), pytest.raises(HashedInTransaction):
            hash_password(PASSWORD)
        with org_context(alice.organization_id), pytest.raises(HashedInTransaction):
            verify_password(PASSWORD, alice.user.password)
        with transaction.atomic(using="worker"), pytest.raises(HashedInTransaction):
            verify_password(PASSWORD, None)

    def test_log_in_refuses_to_be_called_in_one(self, alice):
        with org_context(alice.organization_id), pytest.raises(HashedInTransaction):
            log_in(email="alice@acme.example", password=PASSWORD, device=DEVICE)

    def test_an_outdated_cost_is_brought_up_to_date(self, anonymous, alice, monkeypatch):
        monkeypatch.setattr(BulkheadPasswordHasher, "rounds", 5)

        assert anonymous.post("/auth/login", credentials()).status_code == 200

        with org_context(alice.organization_id):
            assert User.objects.get().password.startswith("bcrypt_sha256$$2b$05$")
            assert Session.objects.count() == 2
        assert anonymous.post("/auth/login", credentials()).status_code == 200


class TestMeanwhile:
    """What happens while the given password is being hashed."""

    @pytest.fixture
    def while_hashing(self, monkeypatch):
        def call_once(function):
            def verify(password, encoded):
                monkeypatch.setattr(login, "verify_password", verify_password)
                matches = verify_password(password, encoded)
                function()
                return matches

            monkeypatch.setattr(login, "verify_password", verify)

        return call_once

    def set_password(self, person, encoded, owner):
        owner.execute("UPDATE accounts_user SET password = %s WHERE id = %s", [encoded, person.user.id])

    def test_a_changed_password_refuses_the_old_one(self, anonymous, alice, owner_connection, while_hashing):
        changed = hash_password("another-long-secret")
        while_hashing(lambda: self.set_password(alice, changed, owner_connection))

        assert_refused(anonymous.post("/auth/login", credentials()), 401, "invalid_credentials")

        assert count(owner_connection, "accounts_session") == 1

    def test_a_hash_that_another_log_in_upgraded_is_compared_again(
        self, anonymous, alice, owner_connection, while_hashing, monkeypatch
    ):
        monkeypatch.setattr(BulkheadPasswordHasher, "rounds", 5)
        upgraded = hash_password(PASSWORD)
        while_hashing(lambda: self.set_password(alice, upgraded, owner_connection))

        assert anonymous.post("/auth/login", credentials()).status_code == 200

        with org_context(alice.organization_id):
            assert User.objects.get().password == upgraded

    def test_a_deactivated_user_is_refused(self, anonymous, alice, owner_connection, while_hashing):
        while_hashing(lambda: deactivate(alice, owner_connection))

        assert_refused(anonymous.post("/auth/login", credentials()), 401, "invalid_credentials")

    def test_an_address_that_became_blocked_is_refused(self, anonymous, alice, while_hashing):
        while_hashing(lambda: [attempts.record_failure("alice@acme.example") for _ in range(5)])

        assert_refused(anonymous.post("/auth/login", credentials()), 429, "too_many_attempts")
