"""What several of these tests ask of an answer, the queue and the connection."""

from contextlib import contextmanager

from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern

CONTEXT = "SELECT tenancy.set_context("


def assert_refused(response, status, code):
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == code
    if status == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


def assert_field_errors(response, *errors):
    """`errors` are pairs of a pointer and a code, in the order of the answer."""
    assert_refused(response, 422, "validation_failed")
    found = [(error["pointer"], error["code"]) for error in response.json()["errors"]]
    assert found == list(errors), found


def jobs(owner, task_name):
    """(organization, arguments) of the jobs of a task, oldest first."""
    return owner.execute(
        "SELECT organization_id, args FROM procrastinate_jobs WHERE task_name = %s ORDER BY id", [task_name]
    ).fetchall()


def count(owner, table):
    return owner.execute("SELECT count(*) FROM " + table).fetchone()[0]


@contextmanager
def queries():
    """The statements on the app role's connection, without those that open and close a context."""
    found = []
    with CaptureQueriesContext(connection) as captured:
        yield found
    found += [
        query["sql"]
        for query in captured
        if not query["sql"].startswith((CONTEXT, "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"))
    ]


def is_waiting(connection):
    """Whether somebody waits for a lock in PostgreSQL."""
    return connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]


def patterns(entries):
    """Every route below some entries of a URLconf."""
    for entry in entries:
        if isinstance(entry, URLPattern):
            yield entry
        else:
            yield from patterns(entry.url_patterns)


def in_thread(function, *arguments):
    """For threads of a test: their connections end with them."""
    try:
        return function(*arguments)
    finally:
        connections.close_all()
