"""Actions: asked for in the admin, logged, and done by the worker in the organization's own context."""

import pytest

from accounts.models import Session, User
from billing.models import StripeEvent
from saas.kit import clock
from tenancy.context import org_context
from tenancy.mails import MailInQueue, resend_mail
from tenancy.models import Mail, MailState
from tests.conftest import manage
from tests.project.launching import eventually
from tests.support.desk import rows_of_audit, text_of


def work():
    return manage("worker", "--once")


def is_in(person):
    return person.api.get("/users/me").status_code == 200


class TestUsers:
    def test_deactivate_and_reactivate(self, desk, acme, bob, owner_connection):
        assert is_in(bob)
        asked = desk.act(acme, "deactivate_user", bob.user.id, "asked by Alice")
        assert asked.headers["Location"].endswith(f"/users/{bob.user.id}?asked=support_deactivate_user")
        assert is_in(bob), "nothing happens in the web process"

        work()

        assert not is_in(bob)
        assert "deactivated" in text_of(desk.get(f"/admin/organizations/{acme}/users/{bob.user.id}"))
        assert rows_of_audit(owner_connection)[-1] == (
            "sam@support.example",
            "support_deactivate_user",
            acme,
            str(bob.user.id),
            "asked by Alice",
        )
        desk.act(acme, "reactivate_user", bob.user.id)
        work()
        with org_context(acme):
            assert User.objects.get(id=bob.user.id).is_active

    def test_the_last_owner_stays(self, desk, acme, alice, owner_connection):
        before = rows_of_audit(owner_connection)
        refused = desk.act(acme, "deactivate_user", alice.user.id)
        assert refused.status_code == 409
        assert "at least one active owner" in text_of(refused)
        assert rows_of_audit(owner_connection) == before

    def test_the_worker_refuses_the_last_owner_too(self, desk, acme, alice, bob, owner_connection):
        with org_context(acme):
            User.objects.filter(id=bob.user.id).update(role="owner")
        for person in (alice, bob):
            assert desk.act(acme, "deactivate_user", person.user.id).status_code == 302
        assert "at least one active owner" in work().stderr
        with org_context(acme):
            assert User.objects.filter(role="owner", deactivated_at=None).count() == 1
        statuses = owner_connection.execute(
            "SELECT status::text FROM procrastinate_jobs WHERE task_name = 'support_deactivate_user'"
        )
        assert statuses.fetchall() == [("succeeded",), ("succeeded",)]

    def test_an_id_in_another_spelling_is_none(self, desk, acme, bob):
        for target in (bob.user.id.hex, f"{{{bob.user.id}}}", f"urn:uuid:{bob.user.id}"):
            assert desk.act(acme, "end_sessions", target).status_code == 404

    def test_a_deactivation_forgets_the_address_that_is_to_come(self, desk, acme, bob):
        with org_context(acme):
            User.objects.filter(id=bob.user.id).update(pending_email="thief@else.example")
        desk.act(acme, "deactivate_user", bob.user.id)
        work()
        with org_context(acme):
            found = User.objects.get(id=bob.user.id)
        assert (found.is_active, found.pending_email) == (False, "")

    def test_end_all_sessions(self, desk, acme, alice, bob):
        desk.act(acme, "end_sessions", bob.user.id)
        work()
        assert not is_in(bob)
        assert is_in(alice)
        with org_context(acme):
            assert Session.objects.get(user_id=bob.user.id).revoke_reason == "ended_by_support"


class TestVerification:
    def test_resend(self, desk, acme, bob):
        path = f"/admin/organizations/{acme}/users/{bob.user.id}"
        assert "Resend the verification" in desk.get(path).content.decode()
        assert desk.act(acme, "resend_verification", bob.user.id).status_code == 302
        work()
        with org_context(acme):
            mail = Mail.objects.get(message="accounts/verify_email")
            User.objects.update(email_verified_at=clock.now())
        assert mail.user_id == bob.user.id
        assert "Resend the verification" not in desk.get(path).content.decode()

    def test_it_never_goes_to_the_address_that_is_to_come(self, desk, acme, bob):
        with org_context(acme):
            User.objects.filter(id=bob.user.id).update(pending_email="new@acme.example")
        assert "new@acme.example" in text_of(desk.get(f"/admin/organizations/{acme}/users/{bob.user.id}"))
        desk.act(acme, "resend_verification", bob.user.id)
        work()
        with org_context(acme):
            assert Mail.objects.get(message="accounts/verify_email").address == "bob@acme.example"
            assert not Mail.objects.filter(message="accounts/confirm_new_email").exists()


class TestEvents:
    def test_an_id_that_none_can_have_is_not_found(self, desk, acme):
        assert desk.get(f"/admin/organizations/{acme}/events/%00").status_code == 404

    def test_replay(self, desk, acme):
        with org_context(acme):
            StripeEvent.objects.create(
                stripe_id="evt_1", type="invoice.paid", created=1, payload={}, state="processed"
            )
        assert desk.act(acme, "replay_event", "evt_1").status_code == 302
        work()
        with org_context(acme):
            event = StripeEvent.objects.get()
        # An empty payload can't be applied: that it was tried is what shows.
        assert (event.state, event.attempts) == ("failed", 1)


class TestMails:
    @pytest.mark.parametrize("state", [MailState.SENT, MailState.FAILED, MailState.UNKNOWN])
    def test_resend(self, state, desk, acme):
        work()
        with org_context(acme):
            Mail.objects.update(state=state, error="refused", crashes=2)
            before = Mail.objects.get()
        assert desk.act(acme, "resend_mail", before.id).status_code == 302

        def is_sent_again():
            work()
            with org_context(acme):
                return (
                    Mail.objects.filter(state=MailState.SENT).exclude(message_id=before.message_id).exists()
                )

        # The first job enqueues the second, and each may need another try.
        assert eventually(is_sent_again, seconds=60)
        with org_context(acme):
            mail = Mail.objects.get()
        assert (mail.error, mail.crashes) == ("", 0)
        assert mail.sent_at > before.sent_at

    def test_one_in_the_queue_is_left_alone(self, acme):
        with org_context(acme), pytest.raises(MailInQueue):
            resend_mail(mail_id=Mail.objects.get().id)


class TestRefusals:
    @pytest.mark.parametrize("reason", ["", " ", "\u200b", "\u00a0\u2060", "x" * 501])
    def test_without_a_reason(self, reason, desk, acme, bob, owner_connection):
        before = rows_of_audit(owner_connection)
        assert desk.act(acme, "end_sessions", bob.user.id, reason).status_code == 422
        assert desk.open(acme, reason).status_code in (200, 422), "a redirect would mean that it is open"
        assert rows_of_audit(owner_connection) == before

    @pytest.mark.parametrize("action", ["nothing", "", "resend_verification_x"])
    def test_of_no_action(self, action, desk, acme, bob):
        assert desk.act(acme, action, bob.user.id).status_code == 404

    @pytest.mark.parametrize("target", ["x", "0" * 300, "%"])
    def test_on_nothing(self, target, desk, acme):
        for action in ("end_sessions", "resend_mail", "replay_event"):
            assert desk.act(acme, action, target).status_code == 404

    def test_once_the_hour_is_over(self, desk, acme, bob, owner_connection):
        owner_connection.execute("UPDATE tenancy_supportaudit SET at = at - interval '61 minutes'")
        assert desk.act(acme, "end_sessions", bob.user.id).status_code == 403
        work()
        assert is_in(bob)

    def test_get_does_nothing(self, desk, acme):
        for path in ("actions", "open"):
            assert desk.get(f"/admin/organizations/{acme}/{path}").status_code == 405
