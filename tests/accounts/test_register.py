import pytest

from accounts.models import User
from accounts.tokens import verify_access_token
from tenancy.context import org_context
from tenancy.models import Mail
from tests.accounts.asking import assert_field_errors, assert_refused, count, jobs
from tests.conftest import PASSWORD, Api

BODY = {"email": "Nora@New.example", "password": PASSWORD, "org": "New & Co", "name": "Nora"}


def nothing_is_there(owner):
    return (
        count(owner, "accounts_user"),
        count(owner, "accounts_session"),
        count(owner, "procrastinate_jobs"),
    ) == (
        0,
        0,
        0,
    ) and count(owner, "tenancy_organization") == 1


class TestRegister:
    def test_it_makes_an_organization_with_its_owner(self, anonymous):
        response = anonymous.post("/auth/register", BODY)

        assert response.status_code == 201
        made = response.json()
        assert set(made) == {
            "token",
            "access_token",
            "refresh_token",
            "token_type",
            "expires_in",
            "user_id",
            "org_id",
        }
        assert (made["token"], made["token_type"], made["expires_in"]) == (
            made["access_token"],
            "Bearer",
            900,
        )
        assert response.headers["Cache-Control"] == "no-store"
        claims = verify_access_token(made["token"])
        assert (str(claims.user_id), str(claims.org_id)) == (made["user_id"], made["org_id"])
        me = Api(made["token"]).get("/users/me").json()
        assert (me["email"], me["name"], me["role"]) == ("Nora@New.example", "Nora", "owner")
        assert me["org"] == {
            "id": made["org_id"],
            "slug": "new-co",
            "name": "New & Co",
            "plan": "free",
            "access": "full",
        }

    def test_it_accepts_organization_as_an_alias(self, anonymous):
        body = {"email": "n@new.example", "password": PASSWORD, "organization": "Alias"}

        made = anonymous.post("/auth/register", body)

        assert made.status_code == 201
        assert Api(made.json()["token"]).get("/users/me").json()["org"]["name"] == "Alias"

    def test_it_queues_the_welcome_mail(self, anonymous, owner_connection):
        made = anonymous.post("/auth/register", BODY).json()

        [(organization_id, arguments)] = jobs(owner_connection, "send_mail")
        assert str(organization_id) == made["org_id"]
        with org_context(organization_id):
            mail = Mail.objects.get(id=arguments["mail_id"])
        assert (mail.message, str(mail.user_id)) == ("accounts/welcome", made["user_id"])

    def test_it_never_joins_an_organization_of_the_same_name(self, anonymous, alice):
        slugs = {"acme"}
        for number in range(3):
            body = BODY | {"email": f"n{number}@new.example", "org": "Acme"}
            made = anonymous.post("/auth/register", body)
            assert made.status_code == 201
            assert made.json()["org_id"] != str(alice.organization_id)
            slug = Api(made.json()["token"]).get("/users/me").json()["org"]["slug"]
            assert slug.startswith("acme-")
            slugs.add(slug)
        assert len(slugs) == 4

    @pytest.mark.parametrize("name", ["日本", "!!!", "x" * 200])
    def test_any_name_gets_a_slug(self, anonymous, name):
        made = anonymous.post("/auth/register", BODY | {"org": name})

        assert made.status_code == 201
        assert Api(made.json()["token"]).get("/users/me").json()["org"]["name"] == name

    @pytest.mark.parametrize("email", ["alice@acme.example", "ALICE@Acme.Example"])
    def test_it_refuses_an_address_that_is_taken(self, anonymous, alice, owner_connection, email):
        before = count(owner_connection, "tenancy_organization")

        assert_refused(anonymous.post("/auth/register", BODY | {"email": email}), 409, "email_taken")

        assert count(owner_connection, "tenancy_organization") == before


class TestWhatRegisterRefuses:
    def test_nothing_at_all(self, anonymous, owner_connection):
        assert_field_errors(
            anonymous.post("/auth/register", {}),
            ("#/email", "required"),
            ("#/password", "required"),
            ("#/org", "required"),
        )
        assert nothing_is_there(owner_connection)

    def test_no_organization(self, anonymous):
        body = {"email": "n@new.example", "password": PASSWORD}
        assert_field_errors(anonymous.post("/auth/register", body), ("#/org", "required"))

    def test_both_names_of_the_organization(self, anonymous):
        assert_field_errors(
            anonymous.post("/auth/register", BODY | {"organization": "Other"}), ("#/organization", "invalid")
        )

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"email": "no address"}, ("#/email", "invalid")),
            ({"email": 5}, ("#/email", "invalid")),
            ({"email": "ü@new.example"}, ("#/email", "not_ascii")),
            ({"email": "o8@[127.0.0.1]"}, ("#/email", "ip_address")),
            ({"email": "o8@[IPv6:2001:db8::1]"}, ("#/email", "ip_address")),
            ({"email": f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}"}, ("#/email", "max_length")),
            ({"org": ""}, ("#/org", "blank")),
            ({"org": "  "}, ("#/org", "blank")),
            ({"org": None}, ("#/org", "null")),
            ({"org": 7}, ("#/org", "invalid")),
            ({"org": "x" * 201}, ("#/org", "max_length")),
            ({"org": "two\nlines"}, ("#/org", "control_character")),
            ({"name": "\u202eevil"}, ("#/name", "bidi_override")),
            ({"password": True}, ("#/password", "invalid")),
            ({"role": "owner"}, ("#/role", "unknown_field")),
            ({"is_staff": True}, ("#/is_staff", "unknown_field")),
            ({"a/b~c": 1}, ("#/a~1b~0c", "unknown_field")),
        ],
    )
    def test_an_unacceptable_field(self, anonymous, owner_connection, change, error):
        response = anonymous.post("/auth/register", BODY | change)

        assert error in [(each["pointer"], each["code"]) for each in response.json()["errors"]]
        assert_refused(response, 422, "validation_failed")
        assert nothing_is_there(owner_connection)

    @pytest.mark.parametrize(
        ("password", "code"),
        [
            ("short", "min_length"),
            ("x" * 129, "max_length"),
            ("password123", "password_too_common"),
            ("nora@new.example", "password_too_similar"),
            ("New & Co", "password_too_similar"),
        ],
    )
    def test_a_weak_or_similar_password(self, anonymous, owner_connection, password, code):
        response = anonymous.post("/auth/register", BODY | {"password": password})

        assert_field_errors(response, ("#/password", code))
        assert nothing_is_there(owner_connection)

    @pytest.mark.parametrize(
        "password", ["x7-" * 42 + "yz", " spaces around ", "päßwörter-日本", "tab\tin the middle"]
    )
    def test_but_any_characters_may_be_in_a_password(self, anonymous, password):
        body = BODY | {"password": password}
        assert anonymous.post("/auth/register", body).status_code == 201

        assert (
            anonymous.post("/auth/login", {"email": BODY["email"], "password": password}).status_code == 200
        )
        cut = {"email": BODY["email"], "password": password[:-1]}
        assert anonymous.post("/auth/login", cut).status_code == 401


class TestNothingIsHalfWritten:
    def test_when_the_last_step_fails(self, anonymous, owner_connection):
        owner_connection.execute("ALTER TABLE procrastinate_jobs ADD CONSTRAINT none CHECK (false) NOT VALID")
        try:
            response = anonymous.post("/auth/register", BODY)
        finally:
            owner_connection.execute("ALTER TABLE procrastinate_jobs DROP CONSTRAINT none")

        assert_refused(response, 500, "internal_error")
        assert nothing_is_there(owner_connection)
        assert anonymous.post("/auth/register", BODY).status_code == 201

    def test_when_the_user_can_not_be_written(self, anonymous, owner_connection):
        owner_connection.execute("ALTER TABLE accounts_user ADD CONSTRAINT none CHECK (false) NOT VALID")
        try:
            response = anonymous.post("/auth/register", BODY)
        finally:
            owner_connection.execute("ALTER TABLE accounts_user DROP CONSTRAINT none")

        assert_refused(response, 500, "internal_error")
        assert nothing_is_there(owner_connection)

    def test_when_somebody_took_the_address_meanwhile(self, anonymous, alice, owner_connection):
        # The look-up before the hashing is blind here, as it is to a registration in flight.
        owner_connection.execute("ALTER POLICY user_organization_by_email ON accounts_user USING (false)")
        try:
            response = anonymous.post("/auth/register", BODY | {"email": "Alice@acme.example"})
        finally:
            owner_connection.execute("ALTER POLICY user_organization_by_email ON accounts_user USING (true)")

        assert_refused(response, 409, "email_taken")
        assert count(owner_connection, "tenancy_organization") == 2
        with org_context(alice.organization_id):
            assert User.objects.count() == 1
