"""A staff member's browser, and what tests ask of its answers."""

import re
import time

import pyotp
from django.test import Client

from saas.kit import clock
from support.services.second_factor import STEP_SECONDS, confirm_second_factor, unconfirmed_secret
from tests.conftest import PASSWORD

SECONDS_TO_LOOK = 3


class Desk:
    """A staff member's browser."""

    def __init__(self, user, *, secret=None):
        self.user = user
        self.client = Client(raise_request_exception=False)
        self.secret = secret or unconfirmed_secret(user.id)

    def code(self, *, steps=0):
        # It is looked at within the same step.
        left = STEP_SECONDS - clock.now().timestamp() % STEP_SECONDS
        if left < SECONDS_TO_LOOK:
            time.sleep(left)
        return pyotp.TOTP(self.secret).at(int(clock.now().timestamp()) + STEP_SECONDS * steps)

    def give_password(self, password=PASSWORD):
        answer = self.client.post("/admin/login", {"email": self.user.email, "password": password})
        # Each password earns a new one, until it is confirmed.
        self.secret = unconfirmed_secret(self.user.id) or self.secret
        return answer

    def give_code(self, code):
        return self.client.post("/admin/login/second-factor", {"code": code})

    def log_in(self):
        """Enrolled by the code of the last step, so that the present one is left."""
        assert self.give_password().status_code == 302
        self.recovery_codes = confirm_second_factor(user_id=self.user.id, code=self.code(steps=-1))
        # Which voids what the browser held.
        assert self.give_password().status_code == 302
        answer = self.give_code(self.code())
        assert answer.headers["Location"] == "/admin"
        return self

    def get(self, path, **query):
        return self.client.get(path, query)

    def post(self, path, **data):
        return self.client.post(path, data)

    def open(self, organization_id, reason="ticket 7"):
        return self.post(f"/admin/organizations/{organization_id}/open", reason=reason)

    def act(self, organization_id, action, target, reason="ticket 7"):
        return self.post(
            f"/admin/organizations/{organization_id}/actions",
            action=f"support_{action}",
            target=str(target),
            reason=reason,
        )


def rows_of_audit(owner_connection):
    """(staff's address, action, organization, target, reason), oldest first."""
    return owner_connection.execute(
        "SELECT staff_email, action, organization_id, target, reason FROM tenancy_supportaudit ORDER BY at"
    ).fetchall()


def text_of(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))
