"""Two organizations whose people do anything in any order, with ids of either side."""

from collections import Counter
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from accounts.links import make_link
from tests.conftest import PASSWORD
from tests.security.world import World, numbers

ROLES = ("owner", "admin", "member")
LISTS = ("/users/me", "/users/org", "/auth/sessions", "/orgs/invitations", "/payments/subscription")
places = st.integers(0, 1000)
bounded = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    # A failure shows its steps as they were; shrinking them would take minutes.
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


class Walk(RuleBasedStateMachine):
    owner = None
    seen = Counter()

    def __init__(self):
        super().__init__()
        self.world = World()
        # A mail's link is what verifies an address; and a plan with room, or most of the walk would end at its seats.
        self.owner.execute("UPDATE accounts_user SET email_verified_at = now()")
        self.owner.execute("UPDATE tenancy_organization SET seat_limit = 6")

    def somebody(self, place):
        people = [each for side in self.world.sides for each in side.people]
        return people[place % len(people)]

    def ask(self, someone, method, path, body=None):
        status, answer = self.world.call(someone.side, method, path, someone.tokens, body)
        if someone.is_gone:
            assert status == 401, (method, path, status, answer)
        return status, answer

    def anything(self, name, place):
        """An id of either side, or nobody's."""
        known = [each for side in self.world.sides for each in getattr(side, name)]
        return known[place % len(known)] if known and place % 17 else str(UUID(int=place))

    def anybody(self, place):
        return self.somebody(place).id if place % 17 else str(UUID(int=place))

    @rule(who=places, path=st.sampled_from(LISTS))
    def read(self, who, path):
        self.ask(self.somebody(who), "get", path)

    @rule(who=places, whom=places, role=st.sampled_from(ROLES), kind=st.sampled_from(["new", "new", "known"]))
    def invite(self, who, whom, role, kind):
        someone, email = self.somebody(who), f"guest{next(numbers)}@{self.somebody(who).side.name}.example"
        if kind == "known":
            email = self.somebody(whom).email
        side = someone.side
        status, answer = self.ask(someone, "post", "/orgs/invitations", {"email": email, "role": role})
        if status == 201:
            side.invitations.append(answer["id"])
            side.secrets.add(answer["id"])
            (side.told if kind == "known" and email not in side.secrets else side.secrets).add(email)

    @rule(which=places, of=places, logged_in=st.booleans(), mixed=st.booleans())
    def accept(self, which, of, logged_in, mixed):
        invitation, caller = self.anything("invitations", which), self.somebody(of)
        sides = [side for side in self.world.sides if invitation in side.invitations] or self.world.sides[:1]
        side = next(each for each in self.world.sides if each is not sides[0]) if mixed else sides[0]
        link = make_link("invitation", organization_id=UUID(side.id), subject_id=UUID(invitation))
        body = {"token": link.partition("token=")[2], "password": PASSWORD, "name": f"Gina {side.name}"}
        if logged_in and not caller.is_gone:
            status, _ = self.ask(caller, "post", "/invitations/accept", body)
            assert status in (401, 403, 409, 410), status
            return
        status, answer = self.world.call(side, "post", "/invitations/accept", body=body)
        if status == 201:
            assert not mixed
            assert answer["org_id"] == side.id
            _, me = self.world.call(side, "get", "/users/me", answer)
            self.world.arrive(side, me["email"], answer)
            self.owner.execute("UPDATE accounts_user SET email_verified_at = now()")

    @rule(who=places, which=places)
    def withdraw(self, who, which):
        someone, invitation = self.somebody(who), self.anything("invitations", which)
        status, _ = self.ask(someone, "delete", f"/orgs/invitations/{invitation}")
        assert status != 204 or invitation in someone.side.invitations

    @rule(who=places, whom=places, change=st.sampled_from([*ROLES, True, False]))
    def change(self, who, whom, change):
        someone, target = self.somebody(who), self.anybody(whom)
        body = {"active": change} if isinstance(change, bool) else {"role": change}
        status, _ = self.ask(someone, "patch", f"/users/org/{target}", body)
        self.assert_own(someone, target, status)
        if status == 200 and change is False:
            self.end(target)

    @rule(who=places, whom=places)
    def remove(self, who, whom):
        someone, target = self.somebody(who), self.anybody(whom)
        status, _ = self.ask(someone, "delete", f"/users/org/{target}")
        self.assert_own(someone, target, status)
        if status == 204:
            self.end(target)

    def assert_own(self, someone, target, status):
        if target not in {each.id for each in someone.side.people}:
            assert status in (401, 403, 404), status

    def end(self, user_id):
        for side in self.world.sides:
            for each in side.people:
                each.is_gone = each.is_gone or each.id == user_id

    @rule(who=places, which=places)
    def end_session(self, who, which):
        someone, session = self.somebody(who), self.anything("sessions", which)
        status, _ = self.ask(someone, "delete", f"/auth/sessions/{session}")
        if status == 204:
            assert session in someone.side.sessions
            _, answer = self.world.call(someone.side, "post", "/auth/validate", someone.tokens)
            someone.is_gone = "active" not in answer

    @rule(who=places, other=places)
    def validate(self, who, other):
        someone, other = self.somebody(who), self.somebody(other)
        _, answer = self.ask(someone, "post", "/auth/validate", {"token": other.tokens["access_token"]})
        if someone.side is not other.side:
            assert not answer.get("active")

    @rule(who=places)
    def refresh(self, who):
        someone = self.somebody(who)
        body = {"refresh_token": someone.tokens["refresh_token"]}
        status, answer = self.world.call(someone.side, "post", "/auth/refresh", body=body)
        assert status == (401 if someone.is_gone else 200), answer
        if status == 200:
            someone.tokens = answer

    @rule(who=places, scope=st.sampled_from(["local", "others", "global"]))
    def log_out(self, who, scope):
        someone = self.somebody(who)
        status, _ = self.world.call(someone.side, "post", "/auth/logout", someone.tokens, {"scope": scope})
        if status == 200 and scope != "others":
            someone.is_gone = True

    @rule(who=places)
    def log_in(self, who):
        someone = self.somebody(who)
        body = {"email": someone.email.upper(), "password": someone.password}
        status, answer = self.world.call(someone.side, "post", "/auth/login", body=body)
        if status == 200:
            assert (answer["user_id"], answer["org_id"]) == (someone.id, someone.side.id)
            someone.tokens, someone.is_gone = answer, False
            self.world.learn_session(someone)

    @rule(who=places, of=places, field=st.sampled_from(["name", "email", "locale"]))
    def change_profile(self, who, of, field):
        someone, other = self.somebody(who), self.somebody(of)
        value = {"name": f"Ann {someone.side.name}", "email": other.email, "locale": "de"}[field]
        status, _ = self.ask(someone, "patch", "/users/me", {field: value})
        if status == 202 and other.side is not someone.side:
            someone.side.told.add(other.email)

    @rule(who=places, wrong=st.booleans())
    def change_password(self, who, wrong):
        someone, new = self.somebody(who), f"a-fine-secret-{next(numbers)}"
        body = {"current_password": "no" if wrong else someone.password, "new_password": new}
        status, _ = self.ask(someone, "post", "/auth/password/change", body)
        if status == 200:
            assert not wrong
            someone.password = new

    @rule(who=places, path=st.sampled_from(["checkout", "portal"]))
    def pay(self, who, path):
        body = {"plan": "starter"} if path == "checkout" else {}
        self.ask(self.somebody(who), "post", f"/payments/{path}", body)

    def teardown(self):
        self.seen.update(self.world.seen)
        for side in self.world.sides:
            rows = self.owner.execute(
                "SELECT id::text, role, deactivated_at IS NULL FROM accounts_user WHERE organization_id = %s",
                [side.id],
            ).fetchall()
            assert {row[0] for row in rows} <= {each.id for each in side.people}
            assert [row for row in rows if row[1] == "owner" and row[2]], "an organization without an owner"
            assert sum(row[2] for row in rows) <= 6


def test_nobody_reads_or_changes_the_others(owner_connection):
    Walk.owner, Walk.seen = owner_connection, Counter()
    run_state_machine_as_test(Walk, settings=bounded)
    # Or it proves nothing: every way was gone, and not into walls alone.
    succeeded = {method: Walk.seen[method, status] for method, status in Walk.seen if status < 300}
    assert {"get", "post", "patch", "delete"} <= succeeded.keys(), Walk.seen
    assert {status for _, status in Walk.seen} >= {200, 201, 204, 401, 403, 404, 409, 410}, Walk.seen
