"""Two factors, each with its limits, and a session that ends by itself."""

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client

from accounts.hashers import BulkheadPasswordHasher
from accounts.models import Session, User
from accounts.services.staff import deactivate_staff, set_staff_password
from support.models import SecondFactor
from support.services.second_factor import reset_second_factor
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID
from tests.conftest import PASSWORD
from tests.support.desk import Desk, text_of


def is_in(desk):
    return desk.get("/admin").status_code == 200


def factor():
    with org_context(SUPPORT_ORGANIZATION_ID):
        return SecondFactor.objects.get()


class TestFirstLogIn:
    def test_it_enrols_and_shows_the_recovery_codes_once(self, sam):
        assert sam.give_password().headers["Location"] == "/admin/login/second-factor"
        page = sam.get("/admin/login/second-factor").content.decode()
        assert sam.secret in page
        assert 'src="data:image/png;base64,' in page
        assert not is_in(sam)

        answer = sam.give_code(sam.code())

        codes = re.findall(r"<li><code>((?:\w{7}-){3}\w{7})</code></li>", answer.content.decode())
        assert len(set(codes)) == 10
        assert is_in(sam)
        assert not any(code in str(factor().recovery_codes) for code in codes)
        assert sam.secret not in sam.get("/admin/login/second-factor").content.decode()

    def test_the_secret_is_kept_encrypted(self, sam):
        assert sam.secret not in factor().secret

    def test_a_wrong_code_enrols_nothing(self, sam):
        sam.give_password()
        assert sam.give_code("000000").status_code == 403
        assert factor().confirmed_at is None
        assert not is_in(sam)

    def test_the_password_alone_opens_nothing(self, sam):
        sam.give_password()
        assert not is_in(sam)
        with org_context(SUPPORT_ORGANIZATION_ID):
            assert not Session.objects.exists()


class TestHalfWay:
    """Between password and code a browser holds a cookie, which is worth no more than what it was given for."""

    def test_a_new_password_voids_it(self, sam):
        sam.give_password()
        set_staff_password(email=sam.user.email, password="another-long-secret")
        assert sam.give_code(sam.code()).headers["Location"] == "/admin/login"
        assert not is_in(sam)

    def test_a_second_factor_that_was_reset_voids_it(self, desk):
        """Or whoever knows the password could enrol in the staff member's place."""
        desk.give_password()
        reset_second_factor(email=desk.user.email)
        assert desk.get("/admin/login/second-factor").headers["Location"] == "/admin/login"

    def test_who_knows_the_password_learns_no_secret_of_anothers(self, sam):
        """Before it is confirmed the secret is shown; it is another one for each who gives the password."""
        thief = Desk(sam.user)
        thief.give_password()
        sam.give_password()
        assert thief.secret != sam.secret
        assert thief.get("/admin/login/second-factor").headers["Location"] == "/admin/login"
        assert "Recovery codes" in text_of(sam.give_code(sam.code()))
        assert thief.give_code(thief.code()).headers["Location"] == "/admin/login"
        assert not is_in(thief)

    def test_what_was_half_way_before_the_second_factor_is_void_after_it(self, sam):
        sam.give_password()
        held = sam.client.cookies.copy()
        sam.give_code(sam.code())
        sam.client.cookies = held
        assert sam.give_code(sam.code(steps=1)).headers["Location"] == "/admin/login"

    def test_a_deactivation_voids_it(self, sam):
        sam.give_password()
        deactivate_staff(email=sam.user.email)
        assert sam.give_code(sam.code()).headers["Location"] == "/admin/login"


class TestOperations:
    @pytest.fixture(autouse=True)
    def terminal(self, monkeypatch):
        monkeypatch.setattr("sys.stdin", StringIO("another-long-secret\n"))

    def test_deactivate_and_reactivate(self, desk, capsys):
        call_command("support_users", "deactivate", "SAM@support.example")
        assert not is_in(desk)
        assert desk.give_password().status_code == 403
        call_command("support_users", "reactivate", desk.user.email)
        assert not is_in(desk), "its sessions stay ended"
        assert desk.give_password().status_code == 302
        assert "sessions" in capsys.readouterr().out

    def test_a_new_password_ends_sessions(self, desk):
        call_command("support_users", "password", desk.user.email)
        assert not is_in(desk)
        assert desk.give_password().status_code == 403
        assert desk.give_password("another-long-secret").status_code == 302

    def test_a_weak_password_is_refused(self, desk, monkeypatch):
        monkeypatch.setattr("sys.stdin", StringIO("short\n"))
        with pytest.raises(CommandError, match="at least 8"):
            call_command("support_users", "password", desk.user.email)
        assert is_in(desk)

    @pytest.mark.parametrize("what", ["deactivate", "reactivate", "password"])
    def test_nobody_else_is_one(self, what, alice, monkeypatch):
        for email in ("nobody@support.example", alice.user.email):
            monkeypatch.setattr("sys.stdin", StringIO("another-long-secret\n"))
            with pytest.raises(CommandError, match="no staff member"):
                call_command("support_users", what, email)


class TestErrors:
    """A browser opens the admin: what goes wrong there is a page."""

    def test_a_forged_form(self):
        answer = Client(enforce_csrf_checks=True).post("/admin/login", {})
        assert (answer.status_code, answer.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
        assert "token does not fit" in text_of(answer)

    def test_what_is_not_there(self, desk):
        answer = desk.get("/admin/no/such/place")
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")

    def test_a_database_that_is_away(self, desk):
        settings = connections["support"].settings_dict
        port = settings["PORT"]
        connections["support"].close()
        settings["PORT"] = 1
        try:
            answer = desk.get("/admin")
        finally:
            connections["support"].close()
            settings["PORT"] = port
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
        assert answer.headers["Retry-After"]


class TestPassword:
    @pytest.mark.parametrize("password", ["wrong-password", ""])
    def test_a_wrong_one_is_refused(self, sam, password):
        assert sam.give_password(password).status_code in (200, 403)
        assert sam.give_code(sam.code()).headers["Location"] == "/admin/login"

    def test_a_customer_is_refused_like_somebody_unknown(self, sam, alice):
        answers = [
            sam.post("/admin/login", email=email, password=PASSWORD)
            for email in ("alice@acme.example", "nobody@acme.example")
        ]
        assert [answer.status_code for answer in answers] == [403, 403]
        assert "wrong" in text_of(answers[0])

    def test_a_deactivated_staff_member_is_refused(self, sam):
        with org_context(SUPPORT_ORGANIZATION_ID):
            User.objects.update(deactivated_at="2026-01-01T00:00Z")
        assert sam.give_password().status_code == 403

    def test_an_unknown_address_hashes_too(self, sam, monkeypatch):
        hashed = []
        verify = BulkheadPasswordHasher.verify
        monkeypatch.setattr(
            BulkheadPasswordHasher, "verify", lambda *given: hashed.append(given) or verify(*given)
        )
        sam.post("/admin/login", email="nobody@acme.example", password=PASSWORD)
        assert len(hashed) == 1

    def test_five_failures_block_even_the_right_one(self, sam):
        for _ in range(5):
            assert sam.give_password("wrong-password").status_code == 403
        blocked = sam.give_password()
        assert blocked.status_code == 429
        assert int(blocked.headers["Retry-After"]) <= 30

    def test_failures_at_the_customers_log_in_do_not_block_staff(self, sam, anonymous):
        for _ in range(6):
            anonymous.post("/auth/login", {"email": sam.user.email, "password": "wrong-password"})
        assert sam.give_password().status_code == 302


class TestCode:
    @pytest.fixture
    def enrolled(self, desk):
        desk.post("/admin/logout")
        desk.give_password()
        return desk

    def test_a_used_code_is_refused(self, enrolled):
        assert enrolled.give_code(enrolled.code()).status_code == 403
        assert not is_in(enrolled)

    @pytest.mark.parametrize(("steps", "status"), [(-1, 302), (0, 302), (1, 302), (-2, 403), (2, 403)])
    def test_it_may_be_a_step_early_or_late(self, enrolled, steps, status):
        with org_context(SUPPORT_ORGANIZATION_ID):
            SecondFactor.objects.update(last_step=0)
        assert enrolled.give_code(enrolled.code(steps=steps)).status_code == status

    def test_one_earlier_than_the_last_is_refused(self, enrolled):
        assert enrolled.give_code(enrolled.code(steps=1)).status_code == 302
        enrolled.give_password()
        assert enrolled.give_code(enrolled.code(steps=-1)).status_code == 403

    def test_a_recovery_code_works_once(self, enrolled):
        code = enrolled.recovery_codes[3]
        assert enrolled.give_code(f" {code.upper().replace('-', ' ', 2)}").status_code == 302
        assert is_in(enrolled)
        enrolled.give_password()
        assert enrolled.give_code(code).status_code == 403
        assert len(factor().recovery_codes) == 9

    def test_five_failures_block_even_the_right_one(self, enrolled):
        for _ in range(5):
            assert enrolled.give_code("000000").status_code == 403
        assert enrolled.give_code(enrolled.recovery_codes[0]).status_code == 429

    def test_without_the_password_it_opens_nothing(self, desk):
        stranger = Desk(desk.user, secret=desk.secret)
        assert stranger.give_code(stranger.code(steps=1)).headers["Location"] == "/admin/login"

    def test_anothers_half_way_cookie_is_refused(self, enrolled):
        stranger = Desk(enrolled.user, secret=enrolled.secret)
        stranger.client.cookies["support_half_way"] = str(enrolled.user.id)
        assert stranger.give_code(stranger.code(steps=1)).headers["Location"] == "/admin/login"


class TestSession:
    def test_a_second_log_in_ends_the_first(self, desk):
        first = desk.client.cookies.copy()
        desk.give_password()
        assert desk.give_code(desk.code(steps=1)).headers["Location"] == "/admin"
        desk.client.cookies = first
        assert desk.get("/admin").headers["Location"].startswith("/admin/login")

    def test_a_crowd_behind_its_address_does_not_use_up_its_requests(self, desk):
        answers = {Client().get("/mail-sent").status_code for _ in range(101)}
        assert 429 in answers
        assert desk.get("/admin").status_code == 200

    def test_its_cookie_is_narrow(self, desk):
        cookie = desk.client.cookies["support_session"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/admin")

    def test_with_https_it_has_the_host_prefix(self, sam, settings):
        settings.SESSION_COOKIE_SECURE = True
        cookie = sam.log_in().client.cookies["__Host-support_session"]
        assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
        assert is_in(sam)

    def test_log_out_ends_it(self, desk):
        kept = desk.client.cookies["support_session"].value
        answer = desk.post("/admin/logout")
        assert (answer.status_code, answer.headers["Clear-Site-Data"]) == (302, '"cache", "storage"')
        desk.client.cookies["support_session"] = kept
        assert not is_in(desk)

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ("last_seen_at = now() - interval '29 minutes'", True),
            ("last_seen_at = now() - interval '31 minutes'", False),
            ("expires_at = now() - interval '1 second'", False),
            ("revoked_at = now()", False),
        ],
    )
    def test_it_ends_idle_or_at_its_hour(self, desk, owner_connection, change, expected):
        owner_connection.execute(f"UPDATE accounts_session SET {change}")
        assert is_in(desk) is expected

    def test_it_lasts_twelve_hours(self, desk, owner_connection):
        lasts = owner_connection.execute("SELECT expires_at - created_at FROM accounts_session").fetchone()
        assert 11.99 < lasts[0].total_seconds() / 3600 < 12.01

    def test_use_keeps_it_awake(self, desk, owner_connection):
        for _ in range(3):
            owner_connection.execute(
                "UPDATE accounts_session SET last_seen_at = last_seen_at - interval '20 minutes'"
            )
            assert is_in(desk)

    @pytest.mark.parametrize("change", ["deactivated_at = now()", "is_staff = false"])
    def test_it_ends_with_its_user(self, desk, owner_connection, change):
        owner_connection.execute(f"UPDATE accounts_user SET {change}")
        assert not is_in(desk)

    def test_it_is_none_of_the_api(self, desk, anonymous):
        value = desk.client.cookies["support_session"].value
        assert anonymous.get("/users/me", Cookie=f"support_session={value}").status_code == 401
        assert anonymous.get("/users/me", Authorization=f"Bearer {value}").status_code == 401

    def test_a_form_without_its_token_is_refused(self, desk, alice):
        client = Client(enforce_csrf_checks=True)
        client.cookies["support_session"] = desk.client.cookies["support_session"].value
        path = f"/admin/organizations/{alice.organization_id}/open"
        assert client.post(path, {"reason": "forged"}).status_code == 403
        assert client.post("/admin/login", {"email": "x@example.com", "password": "x"}).status_code == 403


class TestHeaders:
    @pytest.mark.parametrize("path", ["/admin", "/admin/login", "/admin/audit"])
    def test_nothing_is_kept_and_nothing_inline_runs(self, desk, path):
        answer = desk.get(path)
        assert answer.headers["Cache-Control"] == "no-store"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        page = answer.content.decode()
        for inline in ("<script", " style=", " onclick=", "<style"):
            assert inline not in page


class TestResetSecondFactor:
    def test_it_works(self, desk):
        call_command("reset_second_factor", "SAM@support.example")
        assert not is_in(desk)
        of_the_old_one = desk.code(steps=1)
        desk.give_password()
        assert desk.give_code(of_the_old_one).status_code == 403
        assert "QR code" in desk.get("/admin/login/second-factor").content.decode()

    def test_it_says_that_there_is_no_such_staff_member(self, alice):
        with pytest.raises(CommandError, match="no staff member"):
            call_command("reset_second_factor", "alice@acme.example")


def test_without_its_database_the_admin_is_not_there(settings):
    from importlib import reload

    from django.urls import clear_url_caches

    import saas.urls

    support = settings.DATABASES.pop("support")
    try:
        reload(saas.urls)
        clear_url_caches()
        assert Client().get("/admin/login").status_code == 404
    finally:
        settings.DATABASES["support"] = support
        reload(saas.urls)
        clear_url_caches()
    assert Client().get("/admin/login").status_code == 200
    assert "support" in connections.settings
