"""What the mails say: everything that their templates name is there, in both parts."""

import pytest
from django.template import engines
from django.utils import translation

from billing.templatetags.billing_words import money, plan_name
from tenancy.context import org_context
from tenancy.mails import write_mail
from tenancy.models import Mail

MISSING = "(missing)"


@pytest.fixture(autouse=True)
def told_what_is_missing(monkeypatch):
    monkeypatch.setattr(engines["django"].engine, "string_if_invalid", MISSING)


@pytest.fixture
def written(stripe, alice):
    """Each kind of mail, as a subscription's life causes it."""
    subscription = stripe.subscribe(alice)
    stripe.book.trial_will_end(subscription)
    stripe.deliver_new()
    for happens in (
        lambda: stripe.book.end_trial(subscription, succeeds=True),
        lambda: stripe.book.renew(subscription, succeeds=False),
        lambda: stripe.book.cancel(subscription),
    ):
        happens()
        stripe.deliver_new()
    with org_context(alice.organization_id):
        mails = {mail.message: mail for mail in Mail.objects.filter(message__startswith="billing/")}
        return {
            message.removeprefix("billing/"): write_mail(mail, user=alice.user, address=alice.user.email)
            for message, mail in mails.items()
        }


SAYS = {
    "subscription_activated": ["Starter", "free until"],
    "trial_ending": ["Starter", "ends on", "20"],
    "payment_received": ["Starter", "USD 29.00", "paid until", "/invoices/in_"],
    "payment_failed": ["Starter", "USD 29.00", "/invoices/in_"],
    "subscription_cancelled": ["Starter", "free plan"],
}


def test_each_says_what_it_is_about(written, alice):
    assert written.keys() == SAYS.keys()
    for message, parts in SAYS.items():
        mail = written[message]
        html = mail.alternatives[0][0]
        for text in (mail.subject, mail.body, html):
            assert MISSING not in text, message
        for part in parts:
            assert part in mail.body, message
            assert part in html, message
        assert "Acme" in mail.body


@pytest.mark.parametrize(
    ("amount", "currency", "english", "german"),
    [
        (2900, "usd", "USD 29.00", "29,00 USD"),
        (123456, "eur", "EUR 1,234.56", "1.234,56 EUR"),
        (5, "usd", "USD 0.05", "0,05 USD"),
        (5000, "jpy", "JPY 5,000", "5.000 JPY"),
    ],
)
def test_amounts_are_told_as_people_write_them(amount, currency, english, german):
    assert money(amount, currency) == english
    with translation.override("de"):
        assert money(amount, currency) == german


def test_a_plan_that_is_not_sold_any_more_has_a_name_too():
    assert (plan_name("starter"), plan_name("gone")) == ("Starter", "your plan")
