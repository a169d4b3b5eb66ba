"""Mail is queued with the change that causes it, once an occasion, and what it costs to lose a worker is one repeat."""

import re
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.core import mail as django_mail
from django.db import transaction
from django.template.loader import TemplateDoesNotExist
from django.utils import translation

from tenancy import mails
from tenancy.context import NoOrganizationContext, org_context
from tenancy.mails import queue_mail, send_mail
from tenancy.models import Mail, MailState, UndeliverableAddress
from tests.accounts.asking import jobs

MESSAGES = [
    f"{path.parent.parent.name}/{path.stem}"
    for path in sorted((mails.settings.BASE_DIR / "templates").glob("*/mail/*.txt"))
]


TO_STRANGERS = ("accounts/invitation", "accounts/finish_registration")


@pytest.fixture
def welcome(alice):
    with org_context(alice.organization_id):
        return Mail.objects.get()


@pytest.fixture
def outbox(mailoutbox):
    return mailoutbox


def state_of(mail):
    with org_context(mail.organization_id):
        return Mail.objects.get(id=mail.id)


def send(mail):
    send_mail(mail.organization_id, mail_id=mail.id)


class TestQueueMail:
    def test_it_is_queued_with_the_change_or_not_at_all(self, alice, owner_connection):
        before = len(jobs(owner_connection, "send_mail"))
        with org_context(alice.organization_id):
            queue_mail("accounts/refresh_token_reused", user_id=alice.user.id)
            transaction.set_rollback(True)
        assert len(jobs(owner_connection, "send_mail")) == before
        with org_context(alice.organization_id):
            queue_mail("accounts/refresh_token_reused", user_id=alice.user.id)
        organization_id, _ = jobs(owner_connection, "send_mail")[-1]
        assert (len(jobs(owner_connection, "send_mail")), organization_id) == (
            before + 1,
            alice.organization_id,
        )

    def test_once_an_occasion(self, alice, owner_connection):
        with org_context(alice.organization_id):
            for occasion in ("one", "one", "two"):
                queue_mail("accounts/welcome", user_id=alice.user.id, occasion=occasion)
            assert Mail.objects.exclude(occasion="").count() == 2
        assert len(jobs(owner_connection, "send_mail")) == 3

    def test_it_refuses_an_unknown_message(self, alice):
        with org_context(alice.organization_id), pytest.raises(TemplateDoesNotExist):
            queue_mail("accounts/spam", user_id=alice.user.id)

    def test_it_belongs_to_an_organization(self, alice):
        with pytest.raises(NoOrganizationContext):
            queue_mail("accounts/welcome", user_id=alice.user.id, occasion="another")


class TestSendMail:
    def test_it_goes_to_the_stored_address_in_text_and_html(self, welcome, outbox):
        send(welcome)

        [sent] = outbox
        assert sent.to == ["alice@acme.example"]
        assert sent.subject == "Welcome to Acme"
        assert sent.extra_headers["Message-ID"] == welcome.message_id
        assert sent.body.startswith("Hello Alice,\n\nAcme is ready.")
        [(html, kind)] = sent.alternatives
        assert kind == "text/html"
        assert "Acme is ready." in html
        assert f'<a href="{mails.settings.PUBLIC_URL}"' in html
        assert (state_of(welcome).state, state_of(welcome).error) == (MailState.SENT, "")

    def test_names_are_text_in_both_parts(self, alice, welcome, outbox):
        alice.api.patch("/users/me", {"name": "<b>&'"})
        send(welcome)
        assert outbox[0].body.startswith("Hello <b>&',\n")
        assert "Hello &lt;b&gt;&amp;&#x27;," in outbox[0].alternatives[0][0]

    def test_it_is_sent_once(self, welcome, outbox):
        send(welcome)
        send(welcome)
        assert len(outbox) == 1

    def test_no_transaction_is_open_while_it_is_sent(self, welcome, monkeypatch):
        seen = []
        monkeypatch.setattr(
            django_mail.message.EmailMessage,
            "send",
            lambda self: seen.append(transaction.get_connection().in_atomic_block),
        )
        send(welcome)
        assert seen == [False]

    def test_what_the_provider_refuses_is_kept_and_tried_again(self, welcome, outbox, monkeypatch):
        with monkeypatch.context() as patched, pytest.raises(OSError):
            patched.setattr(
                django_mail.message.EmailMessage, "send", failing(ConnectionRefusedError("no route"))
            )
            send(welcome)
        assert (state_of(welcome).state, state_of(welcome).error) == (MailState.QUEUED, "no route")
        send(welcome)
        assert [sent.extra_headers["Message-ID"] for sent in outbox] == [welcome.message_id]

    def test_a_crash_repeats_it_once_under_its_message_id(self, welcome, outbox):
        for _ in range(3):
            with org_context(welcome.organization_id):
                mails._begin(welcome.id)  # A worker dies after this.
        send(welcome)
        assert outbox == []
        assert state_of(welcome).state == MailState.UNKNOWN

    def test_after_one_crash_it_still_goes(self, welcome, outbox):
        with org_context(welcome.organization_id):
            mails._begin(welcome.id)
        send(welcome)
        assert [sent.extra_headers["Message-ID"] for sent in outbox] == [welcome.message_id]

    def test_an_address_that_bounced_gets_none(self, alice, welcome, outbox):
        with org_context(alice.organization_id):
            UndeliverableAddress.objects.create(address="alice@acme.example", reason="bounced")
        send(welcome)
        assert outbox == []
        assert state_of(welcome).state == MailState.SUPPRESSED

    def test_a_deactivated_person_gets_none(self, alice, welcome, outbox):
        with org_context(alice.organization_id):
            get_user_model().objects.update(deactivated_at=welcome.created_at)
        send(welcome)
        assert outbox == []
        assert state_of(welcome).state == MailState.SUPPRESSED

    def test_another_organizations_mail_is_not_found(self, welcome, charlie, outbox):
        send_mail(charlie.organization_id, mail_id=welcome.id)
        assert outbox == []


def failing(error):
    def send(self):
        raise error

    return send


# What the templates name beyond the person and the organization.
FACTS = {
    "invitation_id": str(UUID(int=7)),
    "inviter": "Bob",
    "new_email": "alice@new.example",
    "sealed": "x",
    "plan": "starter",
    "amount": 123456,
    "currency": "usd",
    "trial_end": "2026-03-31T23:30:00+00:00",
    "period_end": "2026-04-30T23:30:00+00:00",
    "due_at": "2026-05-31T23:30:00+00:00",
    "invoice_url": "https://pay.example/in_1",
}


def write(person, message, locale="en", timezone="UTC", name="Alice", **facts):
    person.user.locale, person.user.timezone, person.user.name = locale, timezone, name
    user = None if message in TO_STRANGERS else person.user
    with org_context(person.organization_id):
        facts = {**FACTS, "locale": locale, **facts}
        mail = Mail(user=user, message=message, message_id="<fixed@localhost>", facts=facts)
        return mails.write_mail(mail, user=user, address="alice@acme.example")


@pytest.mark.parametrize("message", MESSAGES)
def test_every_mail_can_be_written(alice, message):
    written = write(alice, message)
    text, html = written.body, written.alternatives[0][0]
    assert written.subject
    assert "\n" not in written.subject
    assert text.startswith("Hello,\n" if message in TO_STRANGERS else "Hello Alice,\n")
    signature = f"Sent by SaaS platform to alice@acme.example.\n{mails.settings.PUBLIC_URL}\n"
    assert text.endswith(f"\n\n-- \n{signature}")
    for part in (written.subject, text, html):
        assert "{" not in part
        assert "None" not in part
    assert html.count("<p") >= 4
    assert '<html lang="en">' in html


@pytest.mark.parametrize("message", MESSAGES)
def test_every_mail_is_german_for_who_reads_german(alice, message):
    english, german = write(alice, message), write(alice, message, locale="de")
    sentences, saetze = parts(english), parts(german)
    assert len(sentences) == len(saetze) >= 5
    for sentence, satz in zip(sentences, saetze, strict=True):
        assert sentence != satz
    assert not ENGLISH.search(german.subject + german.body)
    html = german.alternatives[0][0]
    assert '<html lang="de">' in html
    assert not ENGLISH.search(html.partition("<body")[2])


ENGLISH = re.compile(r"\b(the|you|your|is|and|of|to|we|it|this|that)\b", re.IGNORECASE)


def parts(written):
    """The subject and each line but addresses of pages."""
    lines = [line for line in written.body.splitlines() if line.strip("- ") and not line.startswith("http")]
    return [written.subject, *lines]


def test_a_mail_tells_days_and_amounts_as_its_reader_writes_them(alice):
    english = write(alice, "billing/payment_received")
    assert "We received USD 1,234.56 for Starter" in english.body
    assert "until 30 April 2026." in english.body
    german = write(alice, "billing/payment_received", locale="de", timezone="Europe/Berlin")
    assert "1.234,56 USD" in german.subject
    assert "bis zum 1. Mai 2026 " in german.body


def test_an_invitation_speaks_as_its_inviter_does(alice, outbox):
    alice.api.patch("/users/me", {"locale": "de"})
    with org_context(alice.organization_id):
        get_user_model().objects.update(email_verified_at=alice.user.created_at)
    assert alice.api.post("/orgs/invitations", {"email": "dora@acme.example"}).status_code == 201
    with org_context(alice.organization_id):
        mail = Mail.objects.get(message="accounts/invitation")
    send(mail)
    assert outbox[0].subject == "Alice lädt Sie zu Acme ein"
    assert translation.get_language() == "en"


def test_mails_have_the_colours_of_the_pages():
    styles = mails.settings.BASE_DIR / "static" / "css" / "tokens.css"
    mail = mails.settings.BASE_DIR / "templates" / "components" / "mail.html"
    light = styles.read_text().partition("@media")[0]
    used = set(re.findall(r"(#\w{6})\b", mail.read_text()))
    assert len(used) >= 5
    assert used <= set(re.findall(r"(#\w{6})\b", light))


def test_names_become_no_links(alice):
    """Whoever invites strangers chooses what stands in our mail: no more than text."""
    with org_context(alice.organization_id):
        facts = {"invitation_id": str(alice.user.id), "inviter": "Visit http://evil.example now"}
        mail = Mail(
            address="a@b.example", message="accounts/invitation", message_id="<x@localhost>", facts=facts
        )
        html = mails.write_mail(mail, user=None, address=mail.address).alternatives[0][0]
    assert "Visit http://evil.example now" in html
    assert 'href="http://evil.example' not in html
