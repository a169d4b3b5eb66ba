"""Who got in, who did not, and what became of their sessions: a line each, without a secret or a typed address."""

import logging

import pytest

from accounts.services import passwords, sessions
from saas.kit import logs
from tests.accounts.asking import assert_refused
from tests.conftest import PASSWORD


@pytest.fixture
def events(caplog):
    """The events so far, each with its facts."""
    caplog.set_level(logging.INFO, "saas.security")

    def so_far():
        return [
            {name: value for name, value in vars(record).items() if name not in logs.STANDARD}
            for record in caplog.records
            if record.name == "saas.security"
        ]

    return so_far


def names(events):
    return [event["event"] for event in events()]


class TestLogIn:
    def test_a_success(self, anonymous, alice, events):
        answer = anonymous.post("/auth/login", {"email": alice.user.email, "password": PASSWORD})
        [event] = events()
        assert event["event"] == "session_opened"
        assert event["subject"] == str(alice.user.id)
        assert event["organization"] == str(alice.organization_id)
        assert event["address"] == "127.0.0.1"
        assert event["request_id"] == answer.headers["X-Request-Id"]
        assert event["session"]

    def test_a_failure_names_the_account_and_repeats_nothing_that_was_typed(
        self, anonymous, alice, events, caplog
    ):
        anonymous.post("/auth/login", {"email": alice.user.email, "password": "hunter2-hunter2"})
        anonymous.post("/auth/login", {"email": "nobody@nowhere.example", "password": "hunter2-hunter2"})
        known, unknown = events()
        assert known["event"] == unknown["event"] == "log_in_failed"
        assert known["factor"] == "password"
        assert known["subject"] == str(alice.user.id)
        assert "subject" not in unknown
        assert "hunter2" not in str(events())
        assert "nowhere" not in str(events())
        assert alice.user.email not in str(events())

    def test_a_block(self, anonymous, events):
        for _ in range(6):
            anonymous.post("/auth/login", {"email": "nobody@nowhere.example", "password": "hunter2-hunter2"})
        assert names(events) == ["log_in_failed"] * 5 + ["attempts_blocked"]


class TestSession:
    def test_its_use_and_its_end(self, anonymous, alice, events):
        refreshed = anonymous.post("/auth/refresh", {"refresh_token": alice.refresh_token}).json()
        alice.api.post("/auth/logout", {})
        assert names(events) == ["session_refreshed", "session_ended"]
        assert events()[1]["reason"] == "logged_out"
        assert refreshed["refresh_token"] not in str(events())

    def test_a_refresh_token_that_was_used_before(self, anonymous, alice, events, fake_clock):
        first = alice.refresh_token
        for _ in range(2):
            answer = anonymous.post("/auth/refresh", {"refresh_token": alice.refresh_token}).json()
            alice.refresh_token = answer["refresh_token"]
            fake_clock.advance(minutes=5)
        assert_refused(anonymous.post("/auth/refresh", {"refresh_token": first}), 401, "refresh_token_reused")
        assert names(events)[-2:] == ["refresh_token_reused", "session_ended"]

    def test_what_was_rolled_back_is_not_told(self, alice, events, monkeypatch):
        def fail(by_user):
            raise RuntimeError("broken")

        monkeypatch.setattr(sessions, "_blacklist", fail)
        assert alice.api.post("/auth/logout", {}).status_code == 500
        assert names(events) == []


class TestPassword:
    def test_a_change(self, alice, events):
        body = {"current_password": PASSWORD, "new_password": "another-long-secret"}
        assert alice.api.post("/auth/password/change", body).status_code == 200
        assert "password_changed" in names(events)
        assert "another-long-secret" not in str(events())

    def test_a_wrong_one(self, alice, events):
        body = {"current_password": "hunter2-hunter2", "new_password": "another-long-secret"}
        assert alice.api.post("/auth/password/change", body).status_code == 422
        assert names(events) == ["password_change_failed"]
        assert passwords.WrongPassword.code == "validation_failed"
