"""Anymail calls its SendGrid backend unsupported: what it sends is held to the provider's contract here."""

import base64
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from anymail.exceptions import AnymailAPIError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import REGISTRY

from tenancy.context import org_context
from tenancy.mail_failures import AnswerLost
from tenancy.mails import send_mail
from tenancy.models import Mail, MailState, UndeliverableAddress
from tenancy.retries import UntilItLands
from tests.accounts.asking import assert_refused
from tests.sendgrid import KEY, SendGrid


@pytest.fixture
def sendgrid(settings):
    with SendGrid() as fake:
        settings.EMAIL_BACKEND = "anymail.backends.sendgrid.EmailBackend"
        settings.ANYMAIL = {"SENDGRID_API_KEY": KEY, "SENDGRID_API_URL": fake.url}
        yield fake


@pytest.fixture
def welcome(alice):
    with org_context(alice.organization_id):
        return Mail.objects.get()


def send(mail):
    send_mail(mail.organization_id, mail_id=mail.id)


def kept(mail):
    with org_context(mail.organization_id):
        return Mail.objects.get(id=mail.id)


def message_id_of(taken):
    headers = taken.get("headers", {}) | taken["personalizations"][0].get("headers", {})
    return headers["Message-ID"]


def count(result):
    return REGISTRY.get_sample_value("saas_mails_total", {"result": result}) or 0


class TestSending:
    def test_the_provider_takes_it(self, sendgrid, welcome):
        send(welcome)

        [taken] = sendgrid.took
        [to] = taken["personalizations"]
        assert [each["email"] for each in to["to"]] == ["alice@acme.example"]
        assert taken["subject"] == "Welcome to Acme"
        assert [part["type"] for part in taken["content"]] == ["text/plain", "text/html"]
        assert message_id_of(taken) == welcome.message_id
        arguments = taken.get("custom_args", {}) | to.get("custom_args", {})
        assert arguments["mail_id"] == str(welcome.id)
        assert kept(welcome).state == MailState.SENT

    def test_it_leaves_our_links_as_they_are(self, sendgrid, welcome):
        """Counting clicks would lead them through the provider, which then keeps their tokens."""
        send(welcome)
        [taken] = sendgrid.took
        tracking = taken["tracking_settings"]
        assert (tracking["click_tracking"]["enable"], tracking["open_tracking"]["enable"]) == (False, False)

    @pytest.mark.parametrize("status", [401, 429, 500, 503])
    def test_what_it_refuses_waits_with_its_error(self, sendgrid, welcome, status):
        sendgrid.status = status
        with pytest.raises(AnymailAPIError):
            send(welcome)
        assert kept(welcome).state == MailState.QUEUED
        assert str(status) in kept(welcome).error
        assert KEY not in kept(welcome).error
        sendgrid.status = 202
        send(welcome)
        assert len(sendgrid.took) == 1

    @pytest.mark.parametrize("status", [400, 413, 422])
    def test_what_it_refuses_for_good_is_not_tried_again(self, sendgrid, welcome, status):
        sendgrid.status = status
        before = count("refused")
        send(welcome)
        assert kept(welcome).state == MailState.FAILED
        assert str(status) in kept(welcome).error
        assert count("refused") == before + 1
        sendgrid.status = 202
        send(welcome)
        assert sendgrid.took == []

    def test_it_leads_nowhere_else(self, sendgrid, welcome):
        visits = []
        with SendGrid() as elsewhere:
            elsewhere.on_request = lambda: visits.append(elsewhere)
            sendgrid.redirect_to = f"{elsewhere.url}mail/send"
            with pytest.raises(AnymailAPIError):
                send(welcome)
        assert visits == []
        assert kept(welcome).state == MailState.QUEUED
        sendgrid.redirect_to = None
        send(welcome)
        assert len(sendgrid.took) == 1

    def test_a_lost_answer_repeats_it_once_under_its_message_id(self, sendgrid, welcome, settings):
        sendgrid.is_silent = True
        settings.ANYMAIL |= {"REQUESTS_TIMEOUT": 0.3}
        for _ in range(2):
            with pytest.raises(AnswerLost) as lost:
                send(welcome)
            assert kept(welcome).state == MailState.SENDING
        # Not at once: a provider that hangs now may be well by then.
        [wait] = [UntilItLands().get_retry_decision(exception=lost.value, job=SimpleNamespace(attempts=0))]
        assert wait.retry_at - datetime.now(UTC) > timedelta(minutes=59)
        send(welcome)
        assert kept(welcome).state == MailState.UNKNOWN
        assert [message_id_of(mail) for mail in sendgrid.took] == [welcome.message_id] * 2

    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:9/v3/", "http://nobody.invalid/v3/", "http://10.255.255.1/v3/"],
        ids=["refused", "no such name", "no answer to the connection"],
    )
    def test_without_a_connection_it_waits(self, sendgrid, welcome, settings, url):
        settings.ANYMAIL |= {"SENDGRID_API_URL": url, "REQUESTS_TIMEOUT": 0.3}
        for _ in range(3):
            with pytest.raises(AnymailAPIError):
                send(welcome)
            assert kept(welcome).state == MailState.QUEUED


@pytest.fixture
def signing_key(settings):
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    settings.EMAIL_BACKEND = "anymail.backends.sendgrid.EmailBackend"
    settings.ANYMAIL = {"SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": base64.b64encode(public).decode()}
    return key


def report(client, key, *events, tampered=False):
    return post(client, key, json.dumps(events).encode(), tampered=tampered)


def post(client, key, body, *, timestamp="1700000000", tampered=False):
    signature = key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return client.post(
        "/webhooks/mail",
        body + b" " if tampered else body,
        content_type="application/json",
        headers={
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        },
    )


def event_about(mail, **changes):
    return {
        "event": "bounce",
        "type": "bounce",
        "email": "Alice@acme.example",
        "sg_event_id": "event-1",
        "timestamp": 1700000000,
        "organization_id": str(mail.organization_id),
        "mail_id": str(mail.id),
        **changes,
    }


def marked(mail):
    with org_context(mail.organization_id):
        return list(UndeliverableAddress.objects.values_list("address", "reason"))


class TestReports:
    def test_a_hard_bounce_marks_the_address(self, client, signing_key, welcome):
        assert report(client, signing_key, event_about(welcome)).status_code == 200
        assert marked(welcome) == [("alice@acme.example", "bounced")]

    def test_a_complaint_does_too(self, client, signing_key, welcome):
        report(client, signing_key, event_about(welcome, event="spamreport", type=None))
        assert marked(welcome) == [("alice@acme.example", "complained")]

    @pytest.mark.parametrize("changes", [{"type": "blocked"}, {"event": "deferred"}, {"event": "delivered"}])
    def test_what_passes_does_not(self, client, signing_key, welcome, changes):
        assert report(client, signing_key, event_about(welcome, **changes)).status_code == 200
        assert marked(welcome) == []

    def test_a_replay_counts_no_second_time(self, client, signing_key, welcome):
        report(client, signing_key, event_about(welcome))
        with org_context(welcome.organization_id):
            UndeliverableAddress.objects.all().delete()
        assert report(client, signing_key, event_about(welcome)).status_code == 200
        assert marked(welcome) == []

    def test_another_organizations_mail_is_not_reached(self, client, signing_key, welcome, charlie):
        wrong = event_about(welcome, organization_id=str(charlie.organization_id))
        assert report(client, signing_key, wrong).status_code == 200
        assert marked(welcome) == []

    @pytest.mark.parametrize("changes", [{"mail_id": "x"}, {"organization_id": None}])
    def test_mail_that_is_none_of_ours_is_ignored(self, client, signing_key, welcome, changes):
        assert report(client, signing_key, event_about(welcome, **changes)).status_code == 200

    @pytest.mark.parametrize(
        "changes",
        [
            {"organization_id": ["x"]},
            {"mail_id": 5},
            {"timestamp": "yesterday"},
            {"sg_event_id": "\0"},
            {"event": ["bounce"]},
            {"email": None},
            {"email": "a\0@acme.example"},
            {"email": "a" * 300},
        ],
        ids=str,
    )
    def test_an_entry_that_makes_no_sense_is_counted_and_the_others_are_handled(
        self, client, signing_key, welcome, changes
    ):
        before = REGISTRY.get_sample_value("saas_mail_reports_total", {"type": "unreadable"}) or 0
        bad = event_about(welcome, **changes)
        batch = [bad, "text", None, 7, event_about(welcome, sg_event_id="event-2"), bad]
        assert report(client, signing_key, *batch).status_code == 200
        assert marked(welcome) == [("alice@acme.example", "bounced")]
        after = REGISTRY.get_sample_value("saas_mail_reports_total", {"type": "unreadable"})
        assert after == before + 5

    @pytest.mark.parametrize("timestamp", [10**20, -(10**20), None])
    def test_an_impossible_moment_does_not_matter(self, client, signing_key, welcome, timestamp):
        assert report(client, signing_key, event_about(welcome, timestamp=timestamp)).status_code == 200

    @pytest.mark.parametrize("body", [b"{}", b"7", b"null", b'"text"', b"[", b"\xff"])
    def test_a_body_that_is_no_list_is_refused(self, client, signing_key, body):
        assert_refused(post(client, signing_key, body), 400, "malformed_request")

    def test_only_ids_of_what_stops_mail_are_kept(self, client, signing_key, welcome):
        kinds = ["delivered", "open", "click", "deferred", "bounce", "spamreport"]
        report(client, signing_key, *(event_about(welcome, event=kind, sg_event_id=kind) for kind in kinds))
        assert kept(welcome).provider_events == ["bounce", "spamreport"]

    def test_a_report_without_an_id_counts_and_is_not_kept(self, client, signing_key, welcome):
        for _ in range(2):
            assert report(client, signing_key, event_about(welcome, sg_event_id=None)).status_code == 200
        assert marked(welcome) == [("alice@acme.example", "bounced")]
        assert kept(welcome).provider_events == []

    def test_a_password_does_not_replace_sendgrids_signature(self, client, signing_key, settings, welcome):
        settings.ANYMAIL = {"WEBHOOK_SECRET": "user:password"}
        response = client.post(
            "/webhooks/mail",
            json.dumps([event_about(welcome)]),
            content_type="application/json",
            headers={"Authorization": "Basic " + base64.b64encode(b"user:password").decode()},
        )
        assert_refused(response, 503, "mail_reports_not_configured")
        assert marked(welcome) == []

    def test_a_wrong_signature_is_refused(self, client, signing_key, welcome):
        other = ec.generate_private_key(ec.SECP256R1())
        assert_refused(report(client, other, event_about(welcome)), 400, "malformed_request")
        tampered = report(client, signing_key, event_about(welcome), tampered=True)
        assert_refused(tampered, 400, "malformed_request")
        assert marked(welcome) == []

    def test_no_signature_is_refused(self, client, signing_key, welcome):
        response = client.post("/webhooks/mail", b"[]", content_type="application/json")
        assert_refused(response, 400, "malformed_request")

    def test_without_a_key_nothing_is_believed(self, client, signing_key, settings, welcome):
        settings.ANYMAIL = {"SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": ""}
        response = report(client, signing_key, event_about(welcome))
        assert_refused(response, 503, "mail_reports_not_configured")
        assert marked(welcome) == []
