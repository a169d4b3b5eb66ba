"""The state file."""

import json
import os
import subprocess
import sys

import pytest
import stripe

from billing.standin.server import StandIn
from tests.billing.standin.conftest import API_KEY, library

KEY = {"idempotency_key": "once"}


def test_a_restart_keeps_everything(tmp_path):
    path = tmp_path / "state.json"
    with StandIn(api_key=API_KEY, state=path) as standin, library(standin) as client:
        customer = client.v1.customers.create({"name": "Acme"}, KEY)
    with StandIn(api_key=API_KEY, state=path) as standin, library(standin) as client:
        assert client.v1.customers.retrieve(customer.id).name == "Acme"
        assert client.v1.customers.create({"name": "Acme"}, KEY).id == customer.id
        assert [event.type for event in client.v1.events.list().data] == ["customer.created"]
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_without_a_file_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with StandIn(api_key=API_KEY) as standin, library(standin) as client:
        client.v1.customers.create({"name": "Acme"})
    assert list(tmp_path.iterdir()) == []


def test_an_open_checkout_can_be_paid_after_a_restart(tmp_path):
    path = tmp_path / "state.json"
    with StandIn(api_key=API_KEY, state=path) as standin, library(standin) as client:
        price = client.v1.prices.create(
            {
                "currency": "usd",
                "unit_amount": 5,
                "product_data": {"name": "Pro"},
                "recurring": {"interval": "month"},
            }
        )
        session = client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": price.id, "quantity": 1}],
                "success_url": "https://a.test/",
                "subscription_data": {"trial_period_days": 7},
            }
        )
    with StandIn(state=path) as standin:
        standin.book.pay(session.id)
        assert [row["status"] for row in standin.book.subscriptions.values()] == ["trialing"]


@pytest.fixture
def process(tmp_path):
    command = [
        sys.executable,
        "-m",
        "billing.standin",
        "--port",
        "0",
        "--state",
        str(tmp_path / "state.json"),
    ]
    process = subprocess.Popen([*command, "--api-key", API_KEY], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_it_runs_as_a_process(process, tmp_path):
    """It says that it is not Stripe, serves, and leaves with 0 when asked to."""
    line = process.stdout.readline()
    assert "not Stripe" in line
    url = line.split()[-1]
    http_client = stripe.RequestsClient(timeout=10)
    client = stripe.StripeClient(API_KEY, base_addresses={"api": url}, http_client=http_client)
    client.v1.customers.create({"name": "Acme"})
    http_client.close()
    process.terminate()
    assert process.wait(timeout=10) == 0
    stored = json.loads((tmp_path / "state.json").read_text())
    assert [row["name"] for row in stored["customers"].values()] == ["Acme"]


@pytest.mark.parametrize(
    ("given", "why"),
    [(["--host", "0.0.0.0"], "not a loopback address"), (["--state", "broken.json"], "cannot start")],
)
def test_it_says_why_it_cannot_start(tmp_path, given, why):
    (tmp_path / "broken.json").write_text("{")
    command = [sys.executable, "-m", "billing.standin", *given]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    assert (run.returncode, why in run.stderr) == (1, True)
    assert "Traceback" not in run.stderr
