import pytest
from django.db import transaction

from accounts.emails import SUBJECTS, queue_email, send
from accounts.tasks import blacklist_sessions
from tenancy.context import NoOrganizationContext, org_context
from tests.accounts.asking import jobs

MESSAGE_ID = "<fixed@localhost>"


class TestQueueEmail:
    def test_it_is_queued_with_the_change(self, alice, owner_connection):
        before = len(jobs(owner_connection, "send_email"))
        with org_context(alice.organization_id):
            queue_email("refresh_token_reused", user_id=alice.user.id)
            assert len(jobs(owner_connection, "send_email")) == before

        organization_id, arguments = jobs(owner_connection, "send_email")[-1]
        assert organization_id == alice.organization_id
        assert set(arguments) == {"message", "user_id", "message_id"}
        assert arguments["message_id"].startswith("<")
        assert arguments["message_id"].endswith("@localhost>")

    def test_it_goes_with_the_change(self, alice, owner_connection):
        before = len(jobs(owner_connection, "send_email"))
        with org_context(alice.organization_id):
            queue_email("welcome", user_id=alice.user.id)
            transaction.set_rollback(True)
        assert len(jobs(owner_connection, "send_email")) == before

    def test_it_refuses_an_unknown_message(self, alice):
        with org_context(alice.organization_id), pytest.raises(KeyError):
            queue_email("spam", user_id=alice.user.id)

    def test_it_belongs_to_an_organization(self, alice):
        with pytest.raises(NoOrganizationContext):
            queue_email("welcome", user_id=alice.user.id)


class TestSend:
    @pytest.mark.parametrize("message", SUBJECTS)
    def test_every_mail_can_be_written(self, alice, mailoutbox, message):
        send(alice.organization_id, message=message, user_id=alice.user.id, message_id=MESSAGE_ID)

        [mail] = mailoutbox
        assert mail.to == ["alice@acme.example"]
        assert mail.extra_headers["Message-ID"] == MESSAGE_ID
        assert "{" not in mail.subject
        assert mail.body.startswith("Hello Alice,\n")
        assert mail.body.endswith("\n")

    def test_names_are_written_as_typed(self, alice, mailoutbox):
        alice.api.patch("/users/me", {"name": "<b>&'"})

        send(alice.organization_id, message="welcome", user_id=alice.user.id, message_id=MESSAGE_ID)

        assert mailoutbox[0].subject == "Welcome to Acme"
        assert mailoutbox[0].body.startswith("Hello <b>&',\n")

    def test_somebody_removed_gets_none(self, alice, bob, mailoutbox):
        alice.api.delete(f"/users/org/{bob.user.id}")

        send(alice.organization_id, message="welcome", user_id=bob.user.id, message_id=MESSAGE_ID)

        assert mailoutbox == []

    def test_nobody_of_another_organization_gets_one(self, alice, charlie, mailoutbox):
        send(alice.organization_id, message="welcome", user_id=charlie.user.id, message_id=MESSAGE_ID)

        assert mailoutbox == []


def test_the_task_that_repeats_a_revocation_is_an_organizations():
    assert blacklist_sessions.func.for_organization
