"""The whole product in processes of its own - gunicorn, worker, stand-in for Stripe - with a real Chromium before it."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from django.db import connections
from playwright.sync_api import sync_playwright

from accounts.links import make_link
from accounts.models import User
from accounts.services.invitations import invite_member
from saas.launcher.processes import free_port
from saas.launcher.standin import StandIn
from tenancy.context import org_context
from tests.conftest import make_member, make_owner, manage
from tests.journeys.visiting import Visitor
from tests.project.launching import ROOT
from tests.project.serving import running

CHROMIUM = shutil.which("chromium")
SECRET = "whsec_of_the_journeys"


class Site:
    def __init__(self, port, standin):
        self.url = f"http://localhost:{port}"
        self.standin = standin


@contextmanager
def worker(log, environment):
    with log.open("w") as output:
        command = [sys.executable, "manage.py", "worker"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


# Not for the session: its worker would take the jobs of other tests, which share the database.
@pytest.fixture(scope="module")
def site(own_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    port, standin_port = free_port(), free_port()
    standin = StandIn(
        folder / "stripe.json",
        port=standin_port,
        webhook_url=f"http://127.0.0.1:{port}/webhooks/stripe",
        webhook_secret=SECRET,
    )
    variables = {
        "DEPLOYMENT_ENV": "development",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "",
        "PUBLIC_URL": f"http://localhost:{port}",
        "EMAIL_FILE_PATH": str(folder / "mail"),
        "STRIPE_WEBHOOK_SECRET": SECRET,
        **standin.variables,
    }
    with standin:
        manage("sync_plans", **variables)
        with (
            running(folder / "web.log", port, **variables),
            worker(folder / "worker.log", {**os.environ, **variables}),
        ):
            yield Site(port, standin)


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    # Playwright keeps an event loop in this thread, in which Django would refuse the tests' own queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        # As root it has no sandbox of its own; it opens this site alone.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()
        # Those that the tests opened in that loop. Outside of it Django has others, and would forget these.
        connections.close_all()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def visit(chromium, site):
    """Makes visitors, each with a browser's profile of their own."""
    contexts = []

    def make(**options):
        context = chromium.new_context(base_url=site.url, **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        return Visitor(context, site)

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def owner():
    """Olive, with a member and an open invitation."""
    person = make_owner("olive@example.com")
    with org_context(person.organization_id):
        User.objects.update(email_verified_at=person.user.created_at)
        invitation = invite_member(email="ines@example.com", role="member", by=person.user.id)
        person.link = make_link(
            "invitation", organization_id=person.organization_id, subject_id=invitation.id
        )
    person.member = make_member(person.organization_id, "max@example.com")
    return person
