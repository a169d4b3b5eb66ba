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
