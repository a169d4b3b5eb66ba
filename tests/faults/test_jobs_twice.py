"""A worker dies when a job is done and the queue does not know: the job runs again, and its effect comes once."""

import pytest

from accounts.services.requests import request_mail
from tenancy.context import org_context
from tenancy.jobs import defer
from tests.faults.workers import mails_of, mails_through, run_all, times_taken, unfinished, welcome_of
from tests.sendgrid import SendGrid


@pytest.fixture
def sendgrid():
    with SendGrid() as fake:
        yield fake


@pytest.fixture
def run_twice(owner_connection, sendgrid):
    def run_twice(task):
        run_to_the_end(owner_connection, sendgrid)
        owner_connection.execute("UPDATE procrastinate_jobs SET status = 'todo' WHERE task_name = %s", [task])
        run_to_the_end(owner_connection, sendgrid)

    return run_twice


def run_to_the_end(owner, sendgrid):
    """A job may leave another one."""
    for _ in range(3):
        if unfinished(owner):
            run_all(owner, **mails_through(sendgrid))
    assert unfinished(owner) == []


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("mail_reset_link", "accounts/reset_password"),
        ("mail_verification_link", "accounts/verify_email"),
    ],
)
def test_a_link_is_mailed_once(task, message, alice, sendgrid, run_twice):
    request_mail(task, email=alice.user.email)
    run_twice(task)
    assert len(mails_of(alice, message=message)) == 1
    # And the welcome.
    assert len(sendgrid.took) == 2


def test_who_asks_twice_gets_two(alice, run_twice):
    for _ in range(2):
        request_mail("mail_reset_link", email=alice.user.email)
    run_twice("mail_reset_link")
    assert len(mails_of(alice, message="accounts/reset_password")) == 2


def test_a_mail_is_resent_once(alice, sendgrid, owner_connection, run_twice):
    run_all(owner_connection, **mails_through(sendgrid))
    first = welcome_of(alice)
    with org_context(alice.organization_id):
        defer("support_resend_mail", mail_id=str(first.id))
    run_twice("support_resend_mail")
    assert times_taken(sendgrid) == {first.message_id: 1, welcome_of(alice).message_id: 1}
