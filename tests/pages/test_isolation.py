"""Every page that names an id, as each role: another organization's is not found, and a member gets no admin's page."""

from datetime import timedelta

import pytest

from accounts.models import Invitation
from saas.kit import clock
from tenancy.context import org_context
from tenancy.models import Role
from tests.conftest import make_member
from tests.pages.browsing import TOKEN, assert_page, browser_of
from tests.pages.test_defence import NOBODY, pages

# Which kind of id a page takes, and from which role on it is open.
BY_ID = {
    "end_session": ("session", Role.MEMBER),
    "member_page": ("user", Role.ADMIN),
    "deactivate_member": ("user", Role.ADMIN),
    "reactivate_member": ("user", Role.ADMIN),
    "remove_member": ("user", Role.ADMIN),
    "hand_over": ("user", Role.ADMIN),
    "withdraw_invitation": ("invitation", Role.ADMIN),
}
ADMINS_ONLY = {"member_list", "invitation_list", "organization_support"} | {
    name for name, (_, role) in BY_ID.items() if role == Role.ADMIN
}
ADMINS_WORDS = (
    "Manage<",
    ">Invite<",
    "Remove for good",
    "Hand over",
    "/organization/members",
    "/organization/invitations",
    "/organization/support",
)


def path_of(pattern, given=NOBODY):
    return "/" + str(pattern.pattern).replace("<uuid:id>", str(given))


def ids_of(person):
    with org_context(person.organization_id):
        invitation, _ = Invitation.objects.get_or_create(
            email="x@x.example", defaults={"expires_at": clock.now() + timedelta(days=1)}
        )
    return {"session": person.session_id, "user": person.user.id, "invitation": invitation.id}


@pytest.fixture(params=["owner", "admin", "member"])
def somebody(request, alice):
    if request.param == "owner":
        return alice
    return make_member(alice.organization_id, "somebody@acme.example", request.param)


def test_every_page_with_an_id_is_here():
    assert {each.name for each in pages() if "<" in str(each.pattern)} == BY_ID.keys()


def test_anothers_ids_are_not_found(somebody, charlie):
    browser, foreign, before = browser_of(somebody), ids_of(charlie), everything_of(charlie)
    token = TOKEN.search(browser.get("/account").text)[1]
    for pattern in (each for each in pages() if each.name in BY_ID):
        kind, role = BY_ID[pattern.name]
        is_open = role == Role.MEMBER or somebody.user.role != Role.MEMBER
        for method in pattern.callback.methods:
            answers = []
            for given in (foreign[kind], NOBODY):
                data = {"csrfmiddlewaretoken": token, "role": "admin"}
                answer = getattr(browser.client, method)(path_of(pattern, given), data)
                answers.append((answer.status_code, shown(answer.text, given)))
            assert answers[0] == answers[1], pattern.name
            assert answers[0][0] == (404 if is_open else 403), pattern.name
    assert everything_of(charlie) == before
    assert charlie.api.get("/users/me").status_code == 200


def shown(text, given):
    """Without what differs by request: its id, its masked token, the id that was asked for."""
    text = text.replace(str(given), "").partition("request id")[0]
    return TOKEN.sub("", text)


def everything_of(person):
    return [
        person.api.get(path).json()["data"] for path in ("/users/org", "/auth/sessions", "/orgs/invitations")
    ]


def test_a_member_gets_no_page_of_admins_and_sees_no_control_of_theirs(alice, bob):
    browser = browser_of(bob)
    token = TOKEN.search(browser.get("/account").text)[1]
    for pattern in pages():
        for method in pattern.callback.methods:
            if pattern.name in ADMINS_ONLY:
                given = ids_of(alice).get(BY_ID.get(pattern.name, ("",))[0], NOBODY)
                answer = getattr(browser.client, method)(
                    path_of(pattern, given), {"csrfmiddlewaretoken": token}
                )
                assert_page(answer, 403, "An owner or admin")
            elif method == "get":
                text = browser.get(path_of(pattern)).text
                assert not [word for word in ADMINS_WORDS if word in text], pattern.name


def test_pages_hold_ones_own_organization_alone(alice, bob, charlie):
    browser = browser_of(alice)
    ids_of(charlie)
    for pattern in pages():
        if "get" in pattern.callback.methods:
            text = browser.get(path_of(pattern, alice.user.id)).text.lower()
            for secret in ("globex", "charlie", str(charlie.organization_id), str(charlie.user.id)):
                assert secret not in text, pattern.name
