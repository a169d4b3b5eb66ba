"""What Acme could enqueue against Globex: every task there is, by raw SQL as the app role."""

import inspect
import json
import os
import subprocess
import sys

import orjson
import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from procrastinate.builtin_tasks import builtin
from procrastinate.contrib.django import app

from tenancy.context import org_context
from tenancy.jobs import defer
from tenancy.models import Mail, TenantModelBase
from tests.conftest import manage
from tests.isolation.conftest import enter
from tests.project.launching import eventually

DEFER = "SELECT tenancy.defer_job('default', %s, 0, NULL, NULL, %s::jsonb, NULL)"
LIBRARYS = {name for known in builtin.tasks for name in (known, known.removeprefix("builtin:"))}
ORGANIZATIONS = {name for name, task in app.tasks.items() if hasattr(task.func, "for_organization")}
TASKS = {*app.tasks, *LIBRARYS}
REMOVE_ALL = {"max_hours": 0, "remove_failed": True, "remove_cancelled": True, "remove_aborted": True}


def arguments_against(person):
    with org_context(person.organization_id):
        mail = Mail.objects.first()
    return {
        **{name: {"timestamp": 0} for name in TASKS - ORGANIZATIONS},
        **dict.fromkeys(LIBRARYS, REMOVE_ALL),
        "send_mail": {"mail_id": str(mail.id)},
        "blacklist_sessions": {"sessions": {str(person.user.id): [person.session_id]}},
        **{name: {"email": person.user.email} for name in ("mail_reset_link", "mail_verification_link")},
        "mail_registration_link": {
            "email": person.user.email,
            "organization_name": "X",
            "sealed": "x",
            "locale": "en",
        },
        "apply_stripe_event": {"event_id": "evt_globex"},
        "refresh_subscription": {"subscription_id": "sub_globex"},
        "end_grace": {},
        "support_deactivate_user": {"user_id": str(person.user.id)},
        "support_reactivate_user": {"user_id": str(person.user.id)},
        "support_end_sessions": {"user_id": str(person.user.id)},
        "support_resend_verification": {"user_id": str(person.user.id)},
        "support_replay_event": {"event_id": "evt_globex"},
        "support_resend_mail": {"mail_id": str(mail.id)},
    }


def rows_of(organization_id, connection):
    tables = [model._meta.db_table for model in apps.get_models() if isinstance(model, TenantModelBase)]
    return {
        table: connection.execute(
            f"SELECT to_jsonb(t) FROM {table} t WHERE organization_id = %s ORDER BY id", [organization_id]
        ).fetchall()
        for table in (*tables, "procrastinate_jobs")
    }


@pytest.fixture
def settled(alice, charlie, owner_connection):
    """Both organizations, once all that their registration enqueued has run; one of Globex's jobs had failed."""
    manage("worker", "--once")
    owner_connection.execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE task_name = 'send_mail'")
    assert len(rows_of(charlie.organization_id, owner_connection)["procrastinate_jobs"]) == 1
    return alice, charlie


def test_every_task_is_tried(settled):
    arguments = arguments_against(settled[1])
    assert arguments.keys() == TASKS
    for name in ORGANIZATIONS:
        inspect.signature(app.tasks[name].func).bind_partial(**arguments[name])


def test_the_librarys_own_tasks_cannot_be_enqueued(settled, sql):
    for name in LIBRARYS:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), sql.transaction():
            enter(sql, settled[0].organization_id)
            sql.execute(DEFER, [name, orjson.dumps(REMOVE_ALL).decode()])


def test_no_task_reaches_anothers_rows(settled, sql, owner_connection):
    alice, charlie = settled
    before = rows_of(charlie.organization_id, owner_connection)
    jobs = {}
    for name, arguments in arguments_against(charlie).items():
        with sql.transaction():
            enter(sql, alice.organization_id)
            enqueued = "send_mail" if name in LIBRARYS else name
            jobs[name] = sql.execute(DEFER, [enqueued, orjson.dumps(arguments).decode()]).fetchone()[0]
        # As if the database had let it pass: the worker refuses it too.
        owner_connection.execute(
            "UPDATE procrastinate_jobs SET task_name = %s WHERE id = %s", [name, jobs[name]]
        )

    manage("worker", "--once")

    assert rows_of(charlie.organization_id, owner_connection) == before
    assert charlie.api.get("/users/me").status_code == 200
    for name in TASKS - ORGANIZATIONS:
        status = owner_connection.execute(
            "SELECT status::text FROM procrastinate_jobs WHERE id = %s", [jobs[name]]
        )
        assert status.fetchone() == ("failed",), name


NOTIFICATIONS = [
    "[]",
    "not JSON",
    json.dumps({"type": "job_inserted"}),
    json.dumps({"type": "abort_job_requested", "job_id": 1}),
]


@pytest.fixture
def worker(owner_connection):
    """`manage.py worker` in a process of its own, once it is up."""
    owner_connection.execute("DELETE FROM procrastinate_workers")
    process = subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=settings.BASE_DIR, env=os.environ)
    try:
        assert eventually(
            lambda: owner_connection.execute("SELECT FROM procrastinate_workers").fetchone() is not None
        )
        yield process
    finally:
        process.terminate()
        process.wait(30)


def test_a_forged_notification_does_not_stop_the_worker(alice, worker, sql, owner_connection):
    def is_done(job):
        status = "SELECT status::text FROM procrastinate_jobs WHERE id = %s"
        return owner_connection.execute(status, [job]).fetchone() == ("succeeded",)

    def enqueue():
        with org_context(alice.organization_id):
            return defer("blacklist_sessions", sessions={})

    first = enqueue()
    assert eventually(lambda: is_done(first))
    for notification in NOTIFICATIONS:
        for channel in ("procrastinate_any_queue_v1", "procrastinate_queue_v1#default"):
            sql.execute("SELECT pg_notify(%s, %s)", [channel, notification])
    second = enqueue()
    assert eventually(lambda: is_done(second), seconds=15)
    assert worker.poll() is None
