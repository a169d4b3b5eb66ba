from django.conf import settings

from accounts.tokens import verify_access_token
from tests.accounts.asking import assert_field_errors, assert_refused
from tests.conftest import Api

INACTIVE = {"active": False}


def active(person, role):
    claims = verify_access_token(person.access_token)
    return {
        "active": True,
        "token_type": "Bearer",
        "user_id": str(person.user.id),
        "org_id": str(person.organization_id),
        "role": role,
        "sid": person.session_id,
        "jti": str(claims.jti),
        "iss": settings.JWT_ISSUER,
        "aud": "saas-api",
        "iat": claims.iat,
        "exp": claims.iat + 900,
    }


class TestValidate:
    def test_its_own_token(self, alice):
        response = alice.api.post("/auth/validate")

        assert (response.status_code, response.json()) == (200, active(alice, "owner"))
        assert response.headers["Cache-Control"] == "no-store"

    def test_a_token_of_the_same_organization(self, alice, bob):
        response = alice.api.post("/auth/validate", {"token": bob.access_token})

        assert (response.status_code, response.json()) == (200, active(bob, "member"))

    def test_it_tells_nothing_of_a_foreign_token(self, alice, charlie):
        response = alice.api.post("/auth/validate", {"token": charlie.access_token})

        assert (response.status_code, response.json()) == (200, INACTIVE)

    def test_nor_of_one_that_is_not_valid(self, alice, bob):
        bob.api.post("/auth/logout")
        for token in (
            bob.access_token,
            bob.refresh_token,
            alice.refresh_token,
            "rubbish",
            "x" * 4096,
            "ü.ü.ü",
        ):
            assert alice.api.post("/auth/validate", {"token": token}).json() == INACTIVE

    def test_nor_of_one_that_is_expired(self, alice, bob, fake_clock):
        fake_clock.advance(minutes=10)
        fresh = Api().post("/auth/refresh", {"refresh_token": alice.refresh_token}).json()
        fake_clock.advance(minutes=6)

        response = Api(fresh["access_token"]).post("/auth/validate", {"token": bob.access_token})

        assert response.json() == INACTIVE

    def test_it_needs_a_valid_token_itself(self, anonymous, alice, bob):
        bob.api.post("/auth/logout")

        assert_refused(anonymous.post("/auth/validate"), 401, "not_authenticated")
        assert_refused(
            anonymous.post("/auth/validate", {"token": alice.access_token}), 401, "not_authenticated"
        )
        assert_refused(Api("rubbish").post("/auth/validate"), 401, "invalid_token")
        assert_refused(bob.api.post("/auth/validate", {"token": alice.access_token}), 401, "invalid_token")

    def test_it_refuses_what_is_no_text(self, alice):
        assert_field_errors(alice.api.post("/auth/validate", {"token": 5}), ("#/token", "invalid"))
        assert_field_errors(alice.api.post("/auth/validate", {"token": None}), ("#/token", "null"))
