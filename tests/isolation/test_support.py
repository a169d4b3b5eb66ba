"""What SQL injected into the admin could try as saas_support: nothing shows that the log does not hold first."""

import os
import time
from uuid import uuid4

import orjson
import psycopg
import pytest
from django.apps import apps
from django.utils import timezone
from procrastinate.contrib.django import app

from tenancy.context import SET_CONTEXT, org_context, sign_context
from tenancy.models import SUPPORT_ORGANIZATION_ID, Organization, TenantModelBase
from tenancy.selectors import support_accesses
from tenancy.staff import Staff, sign_staff
from tenancy.support_audit import DEFERRED
from tests.isolation.conftest import enter
from tests.isolation.test_models import key_of, make_one_of_each

MODELS = [model for model in apps.get_models() if isinstance(model, TenantModelBase)]
# No screen shows them.
UNSEEN = {
    "accounts_invitation",
    "support_secondfactor",
    "tenancy_organizationdeletion",
    "tenancy_undeliverableaddress",
}
SEEN = [model for model in [*MODELS, Organization] if model._meta.db_table not in UNSEEN]
SAM = Staff(uuid4(), "sam@support.example")
SUE = Staff(uuid4(), "sue@support.example")
OPEN = "SELECT tenancy.open_support_access(%s, %s)"
ACT = "SELECT tenancy.defer_support_action(%s, %s, %s, %s)"
SEARCH = "SELECT id, member FROM tenancy.search_organizations(%s, 0)"


@pytest.fixture
def support():
    with psycopg.connect(os.environ["SUPPORT_DATABASE_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def both(alice, charlie):
    for person in (alice, charlie):
        with org_context(person.organization_id):
            make_one_of_each(person.user.email)
    return alice.organization_id, charlie.organization_id


def be(connection, staff, *, expires_at=4_000_000_000):
    """Signed as the platform does; call it inside a transaction."""
    connection.execute(
        SET_CONTEXT, ["staff", f"{staff.id} {staff.email}", sign_staff(staff, expires_at=expires_at)]
    )


def call(connection, staff, statement, parameters):
    with connection.transaction():
        be(connection, staff)
        return connection.execute(statement, parameters).fetchall()


def shown(connection, staff, model):
    table = model._meta.db_table
    return {row[0] for row in call(connection, staff, f"SELECT {key_of(model)} FROM {table}", [])}


def refused(connection, statement, parameters=None, *, staff=SAM, error=psycopg.errors.InsufficientPrivilege):
    with pytest.raises(error), connection.transaction():
        be(connection, staff)
        connection.execute(statement, parameters)


class TestRows:
    def test_without_a_staff_member_there_is_nothing(self, both, support):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        for table in [*(model._meta.db_table for model in SEEN), "tenancy_supportaudit"]:
            assert support.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)

    @pytest.mark.parametrize("model", SEEN, ids=lambda model: model._meta.label)
    def test_a_fresh_access_shows_one_organization(self, model, both, support):
        assert shown(support, SAM, model) == set()
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        assert shown(support, SAM, model) == {both[0]}

    def test_it_is_the_staff_members_own(self, both, support):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        assert shown(support, SUE, Organization) == set()

    def test_it_lasts_60_minutes(self, both, support, owner_connection):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        for minutes, expected in ((59, {both[0]}), (61, set())):
            owner_connection.execute(
                "UPDATE tenancy_supportaudit SET at = now() - make_interval(mins => %s)", [minutes]
            )
            assert shown(support, SAM, Organization) == expected

    def test_it_shows_nothing_before_its_row_is_committed(self, both, support, owner_connection):
        with support.transaction(force_rollback=True):
            be(support, SAM)
            with support.transaction():
                support.execute(OPEN, [both[0], "to be taken back"])
            assert support.execute("SELECT count(*) FROM tenancy_supportaudit").fetchone() == (1,)
            assert support.execute("SELECT count(*) FROM tenancy_organization").fetchone() == (0,)
        assert shown(support, SAM, Organization) == set()

    def test_switched_off_it_ends_at_once(self, both, support):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        with org_context(both[0]):
            Organization.objects.update(support_allowed=False)
        assert shown(support, SAM, Organization) == set()

    @pytest.mark.parametrize("table", sorted(UNSEEN))
    def test_what_no_screen_shows_can_not_be_read(self, both, support, table):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        refused(support, f"SELECT * FROM {table}")

    @pytest.mark.parametrize(
        ("table", "column"),
        [
            ("accounts_user", "password"),
            ("accounts_session", "recent_rotations"),
            ("tenancy_mail", "facts"),
            ("billing_stripeevent", "signed_body"),
            ("billing_customer", "checkout_url"),
        ],
    )
    def test_secrets_can_not_be_read(self, both, support, table, column):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        refused(support, f"SELECT {column} FROM {table}")

    @pytest.mark.parametrize("model", [*MODELS, Organization], ids=lambda model: model._meta.label)
    def test_nothing_can_be_written(self, model, both, support):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        table, key = model._meta.db_table, key_of(model)
        refused(support, f"UPDATE {table} SET {key} = {key}")
        refused(support, f"DELETE FROM {table}")
        refused(support, f"INSERT INTO {table} ({key}) VALUES (gen_random_uuid())")
        refused(support, f"TRUNCATE {table}")


class TestStaff:
    def test_anothers_name_is_refused(self, both, support):
        proof = sign_staff(SAM, expires_at=4_000_000_000)
        for name in (f"{SUE.id} {SUE.email}", f"{SAM.id} {SUE.email}", f"{SUE.id}", "x"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), support.transaction():
                support.execute(SET_CONTEXT, ["staff", name, proof])
                support.execute(OPEN, [both[0], "ticket 7"])

    def test_an_organizations_proof_makes_no_staff_member(self, both, support):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), support.transaction():
            support.execute(
                SET_CONTEXT, ["staff", str(both[0]), sign_context(both[0], expires_at=4_000_000_000)]
            )
            support.execute("SELECT tenancy.current_staff()")

    def test_a_staff_members_proof_makes_no_organization(self, both, sql):
        proof = sign_staff(SAM, expires_at=4_000_000_000)
        with pytest.raises(psycopg.Error), sql.transaction():
            sql.execute(SET_CONTEXT, ["org", f"staff:{SAM.id} {SAM.email}", proof])
            sql.execute("SELECT tenancy.current_org()")

    def test_an_expired_proof_is_refused(self, both, support):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="expired"), support.transaction():
            be(support, SAM, expires_at=int(time.time()) - 1)
            support.execute(OPEN, [both[0], "ticket 7"])

    def test_nobody_opens_nothing(self, both, support, owner_connection):
        for statement, parameters in (
            (OPEN, [both[0], "ticket 7"]),
            (SEARCH, ["acme"]),
            (ACT, [both[0], "support_end_sessions", "{}", "ticket 7"]),
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                support.execute(statement, parameters)
        assert owner_connection.execute("SELECT count(*) FROM tenancy_supportaudit").fetchone() == (0,)


class TestOpening:
    @pytest.mark.parametrize("reason", ["", "  ", None])
    def test_it_needs_a_reason(self, both, support, reason):
        refused(support, OPEN, [both[0], reason], error=psycopg.errors.CheckViolation)

    def test_there_must_be_such_an_organization_and_it_is_not_the_staffs_own(self, both, support):
        for organization in (uuid4(), SUPPORT_ORGANIZATION_ID, None):
            refused(support, OPEN, [organization, "ticket 7"], error=psycopg.errors.NoDataFound)

    def test_an_organization_may_refuse(self, both, support):
        with org_context(both[0]):
            Organization.objects.update(support_allowed=False)
        refused(support, OPEN, [both[0], "ticket 7"], error=psycopg.errors.ObjectNotInPrerequisiteState)
        call(support, SAM, OPEN, [both[1], "ticket 7"])


class TestActions:
    ARGUMENTS = orjson.dumps({"user_id": str(uuid4())}).decode()
    NAMES = {"support_replay_event": "event_id", "support_resend_mail": "mail_id"}

    @pytest.mark.parametrize("task", DEFERRED)
    def test_each_enqueues_its_job_and_writes_its_row(self, task, both, support, owner_connection):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        arguments = self.ARGUMENTS.replace("user_id", self.NAMES.get(task, "user_id"))
        ((job,),) = call(support, SAM, ACT, [both[0], task, arguments, "asked by phone"])
        enqueued = owner_connection.execute(
            "SELECT task_name, organization_id FROM procrastinate_jobs WHERE id = %s", [job]
        ).fetchone()
        assert enqueued == (task, both[0])
        written = owner_connection.execute(
            "SELECT staff_id, organization_id, reason FROM tenancy_supportaudit WHERE action = %s", [task]
        ).fetchall()
        assert written == [(SAM.id, both[0], "asked by phone")]

    def test_without_access_there_is_none(self, both, support, owner_connection):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        before = owner_connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone()
        refused(support, ACT, [both[1], DEFERRED[0], self.ARGUMENTS, "why not"])
        refused(support, ACT, [None, DEFERRED[0], self.ARGUMENTS, "why not"])
        refused(support, ACT, [both[0], DEFERRED[0], self.ARGUMENTS, "why not"], staff=SUE)
        assert owner_connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == before

    @pytest.mark.parametrize("task", [*sorted({*app.tasks} - {*DEFERRED}), None, "builtin:remove_old_jobs"])
    def test_no_other_task_is_taken(self, both, support, task):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        refused(support, ACT, [both[0], task, "{}", "ticket 7"])

    def test_it_needs_a_reason(self, both, support):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        refused(
            support, ACT, [both[0], DEFERRED[0], self.ARGUMENTS, " "], error=psycopg.errors.CheckViolation
        )

    @pytest.mark.parametrize("arguments", ["{}", '{"mail_id": "x"}', '{"user_id": "x", "more": 1}'])
    def test_a_job_that_could_never_run_is_refused(self, arguments, both, support):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        wrong = psycopg.errors.InvalidParameterValue
        refused(support, ACT, [both[0], DEFERRED[0], arguments, "ticket 7"], error=wrong)

    def test_the_queue_itself_is_out_of_reach(self, both, support):
        refused(support, "SELECT * FROM procrastinate_jobs")
        refused(support, "SELECT tenancy.defer_job('default', 'send_mail', 0, NULL, NULL, '{}', NULL)")


class TestAudit:
    def test_it_can_not_be_written_changed_or_removed(self, both, support):
        call(support, SAM, OPEN, [both[0], "ticket 7"])
        refused(support, "UPDATE tenancy_supportaudit SET reason = 'none'")
        refused(support, "DELETE FROM tenancy_supportaudit")
        refused(support, "TRUNCATE tenancy_supportaudit")
        refused(support, "INSERT INTO tenancy_supportaudit SELECT * FROM tenancy_supportaudit")
        refused(support, "SELECT tenancy.write_support_audit('open_access', %s, 'x', '', '{}')", [both[0]])
        refused(support, "ALTER TABLE tenancy_supportaudit DISABLE ROW LEVEL SECURITY")

    def test_a_search_writes_a_row_and_shows_no_more_than_it_must(
        self, both, support, alice, owner_connection
    ):
        assert call(support, SAM, SEARCH, ["alice@"]) == [(both[0], "alice@acme.example")]
        assert call(support, SAM, SEARCH, ["globex"]) == [(both[1], None)]
        assert call(support, SAM, SEARCH, ["sub_charlie@globex.example"]) == [(both[1], None)]
        assert call(support, SAM, SEARCH, ["cus_alice@acme.example"]) == [(both[0], None)]
        for query in ("", "  ", "ac", "%%%", "___", "support"):
            assert call(support, SAM, SEARCH, [query]) == []
        written = owner_connection.execute(
            "SELECT target FROM tenancy_supportaudit WHERE action = 'search' AND staff_id = %s", [SAM.id]
        ).fetchall()
        assert len(written) == 10
        assert ("alice@",) in written

    def test_a_search_finds_50_at_most(self, support, owner_connection):
        owner_connection.execute(
            "INSERT INTO tenancy_organization (id, slug, name, plan, access, support_allowed, created_at) "
            "SELECT gen_random_uuid(), 'many-' || n, 'Many', 'free', 'full', true, now() FROM generate_series(1, 60) n"
        )
        page = "SELECT id FROM tenancy.search_organizations('many', %s)"
        first, second = (set(call(support, SAM, page, [skip])) for skip in (0, 50))
        assert (len(first), len(second), len(first & second)) == (50, 10, 0)

    def test_an_organization_sees_its_own_rows_and_changes_none(self, both, support, sql):
        for organization in both:
            call(support, SAM, OPEN, [organization, f"about {organization}"])
        call(support, SAM, SEARCH, ["acme"])
        for organization in both:
            with sql.transaction():
                enter(sql, organization)
                rows = sql.execute("SELECT organization_id, staff_email, reason FROM tenancy_supportaudit")
                assert rows.fetchall() == [(organization, SAM.email, f"about {organization}")]
        for statement in (
            "UPDATE tenancy_supportaudit SET reason = ''",
            "DELETE FROM tenancy_supportaudit",
            "INSERT INTO tenancy_supportaudit SELECT * FROM tenancy_supportaudit",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), sql.transaction():
                enter(sql, both[0])
                sql.execute(statement)

    def test_the_selector_shows_them_the_latest_first(self, both, support):
        for reason in ("first", "second"):
            call(support, SAM, OPEN, [both[0], reason])
        call(support, SAM, OPEN, [both[1], "elsewhere"])
        with org_context(both[0]):
            found = list(support_accesses())
        assert [access.reason for access in found] == ["second", "first"]
        assert {access.staff_email for access in found} == {SAM.email}
        assert all(access.at <= timezone.now() for access in found)
        assert not support_accesses().exists()

    @pytest.mark.parametrize("function", ["current_staff()", "opened_organizations()"])
    def test_the_app_role_is_no_staff(self, sql, function):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sql.execute(f"SELECT tenancy.{function}")
        for statement, parameters in ((OPEN, [uuid4(), "x"]), (SEARCH, ["acme"])):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                sql.execute(statement, parameters)


class TestStaffSessions:
    FIND = "SELECT id FROM tenancy.staff_session(%s)"

    def test_a_customers_session_is_nobodys(self, alice, support):
        assert support.execute(self.FIND, [alice.session_id]).fetchall() == []
