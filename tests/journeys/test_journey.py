"""What two people do with the product from their first day on, in a browser, with scripts and without."""

import pytest

from tests.journeys.visiting import PASSWORD

NEW_PASSWORD = "quite other words in a row"


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_from_the_first_day_on(visit, scripts):
    number = "one" if scripts else "two"
    ada, ben = f"ada-{number}@analytical.example", f"ben-{number}@analytical.example"
    owner, colleague = (visit(java_script_enabled=scripts) for _ in range(2))
    register(owner, ada)
    confirm(owner, ada)
    invite(owner, ben)
    join(colleague, ben)
    owner.open("/organization/members").reads("Ben")
    pay_for_a_plan(owner)
    fail_to_pay(owner)
    pay_after_all(owner)
    cancel(owner)
    end_the_other_session(owner, visit(java_script_enabled=scripts), ada)
    set_a_forgotten_password(colleague, ben)
    for visitor in (owner, colleague):
        visitor.has_no_problems()


def register(visitor, address):
    visitor.open("/").follow("Register for free")
    visitor.fill(org="Analytical", name="Ada", email=address, password=PASSWORD).press("Register")
    visitor.at("/account").reads("Analytical", address)


def confirm(visitor, address):
    visitor.open("/account/email").reads("Not confirmed yet")
    visitor.open(visitor.mailed_link(address, "verify-email")).press("Confirm")
    visitor.at("/account/email").reads("Your address is confirmed.", "Confirmed")


def invite(visitor, address):
    visitor.open("/organization/invitations").fill(email=address).press("Invite")
    visitor.reads(f"The invitation to {address} is on its way.")


def join(visitor, address):
    visitor.open(visitor.mailed_link(address, "invitation")).reads("Join Analytical")
    visitor.fill(name="Ben", password=PASSWORD).press("Join Analytical")
    visitor.at("/account").reads("Analytical", address)


def pay_for_a_plan(visitor):
    visitor.open("/billing").reads("Your plan: Free")
    visitor.press_like(r"a month\s*: Starter").press("Pay").at("/billing")
    visitor.reads_eventually("/billing", "Your plan: Starter", "Trial")
    visitor.open("/organization/invitations").fill(email="eve@else.example").press("Invite").reads(
        "on its way"
    )
    to_stripe(visitor).press("End trial").follow("Back").at("/billing")
    visitor.reads_eventually("/billing", "Active")


def fail_to_pay(visitor):
    to_stripe(visitor).press("Renew now (payment fails)").follow("Back").at("/billing")
    visitor.reads_eventually("/billing", "A payment failed", "Read-only")
    visitor.open("/organization/invitations").fill(email="fay@else.example").press("Invite")
    visitor.reads("A payment is due")


def pay_after_all(visitor):
    visitor.open("/billing").press("Pay or change the card")
    visitor.press("Retry the failed payment (succeeds)").follow("Back").at("/billing")
    visitor.reads_eventually("/billing", "Active", "Full")


def cancel(visitor):
    to_stripe(visitor).press("Cancel now").follow("Back").at("/billing")
    visitor.reads_eventually("/billing", "Your plan: Free")


def to_stripe(visitor):
    return visitor.open("/billing").press("Change plan or card, or cancel")


def log_in(visitor, address, password=PASSWORD):
    visitor.open("/login").fill(email=address, password=password).press("Log in")
    return visitor


def end_the_other_session(visitor, elsewhere, address):
    log_in(elsewhere, address).at("/account")
    visitor.open("/account/sessions").press("End session")
    visitor.reads("That session has ended.")
    elsewhere.page.goto("/account")
    elsewhere.at("/login")


def set_a_forgotten_password(visitor, address):
    visitor.open("/account").press("Log out")
    visitor.open("/login").follow("Forgot your password?")
    visitor.fill(email=address).press("Send the link").at("/mail-sent")
    visitor.open(visitor.mailed_link(address, "reset-password"))
    visitor.fill(password=NEW_PASSWORD).press("Set the password").at("/login")
    log_in(visitor, address).reads("The email address or the password is wrong")
    log_in(visitor, address, NEW_PASSWORD).at("/account")
