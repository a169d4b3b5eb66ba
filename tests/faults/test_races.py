"""Many clients at once, over HTTP against real gunicorn."""

import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import PASSWORD
from tests.faults.test_revocation import call
from tests.project.test_gunicorn import running


@pytest.fixture
def web(tmp_path):
    with running(tmp_path / "log", WEB_WORKERS="4") as server:
        yield server


def at_once(amount, function):
    with ThreadPoolExecutor(amount) as pool:
        return [future.result() for future in [pool.submit(function) for _ in range(amount)]]


def test_fifty_registrations_of_one_address(web, owner_connection):
    body = {"email": "Ada@example.com", "password": PASSWORD, "org": "Analytical"}

    def register():
        # Who finds no place for a hash comes again, as it is told.
        while (answer := call(web, "POST", "/auth/register", body=body))[0] == 503:
            time.sleep(0.2)
        return answer

    answers = at_once(50, register)
    assert sorted(status for status, _ in answers) == [201] + 49 * [409]
    assert {answer["code"] for status, answer in answers if status == 409} == {"email_taken"}
    counts = (
        "SELECT (SELECT count(*) FROM tenancy_organization WHERE slug <> 'support'), "
        "(SELECT count(*) FROM accounts_user)"
    )
    assert owner_connection.execute(counts).fetchone() == (1, 1)


def test_twenty_refreshes_of_one_token(web, alice, owner_connection):
    body = {"refresh_token": alice.refresh_token}
    answers = at_once(20, lambda: call(web, "POST", "/auth/refresh", body=body))
    assert [status for status, _ in answers] == 20 * [200]
    row = owner_connection.execute("SELECT refresh_generation, revoked_at FROM accounts_session").fetchone()
    assert row == (2, None)
    assert {call(web, "GET", "/users/me", answer["access_token"])[0] for _, answer in answers} == {200}


def test_a_killed_worker_leaves_no_half_an_organization(tmp_path, owner_connection):
    with running(tmp_path / "log", WEB_WORKERS="2", BCRYPT_ROUNDS="10") as web:
        stop = threading.Event()

        def kill_workers():
            while not stop.wait(0.3):
                children = subprocess.run(
                    ["pgrep", "-P", str(web.process.pid)], capture_output=True, text=True
                )
                for pid in children.stdout.split():
                    try:
                        os.kill(int(pid), signal.SIGKILL)
                    except ProcessLookupError:
                        pass

        def register(number):
            body = {"email": f"p{number}@example.com", "password": PASSWORD, "org": f"Org {number}"}
            try:
                return call(web, "POST", "/auth/register", body=body)[0]
            except (OSError, ValueError):
                return None

        killer = threading.Thread(target=kill_workers)
        killer.start()
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(register, range(60)))
        stop.set()
        killer.join()
    acknowledged = statuses.count(201)
    orphans = owner_connection.execute(
        "SELECT count(*) FROM tenancy_organization o WHERE slug <> 'support' "
        "AND NOT EXISTS (SELECT FROM accounts_user u WHERE u.organization_id = o.id AND u.role = 'owner')"
    ).fetchone()[0]
    owners, sessions, jobs = owner_connection.execute(
        "SELECT (SELECT count(*) FROM accounts_user), (SELECT count(*) FROM accounts_session), "
        "(SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'send_mail')"
    ).fetchone()
    assert None in statuses, "no request was cut off: the test proves nothing"
    assert orphans == 0
    assert owners == sessions == jobs >= acknowledged
