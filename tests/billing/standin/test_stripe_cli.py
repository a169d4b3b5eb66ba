"""Stripe's own command-line tool against the stand-in; where it is not installed the tests are skipped.

`npm install @stripe/cli` brings it; STRIPE_CLI may name the binary.
"""

import os
import shutil
import subprocess

import pytest

from tests.billing.standin.conftest import API_KEY, kinds

STRIPE = os.environ.get("STRIPE_CLI") or shutil.which("stripe")

pytestmark = pytest.mark.skipif(not STRIPE, reason="Stripe's command-line tool is not installed")


@pytest.mark.parametrize(
    "event",
    [
        "customer.subscription.created",
        "customer.subscription.updated",
        "customer.subscription.deleted",
        "customer.subscription.trial_will_end",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.payment_failed",
        "checkout.session.completed",
    ],
)
def test_trigger(standin, tmp_path, event):
    command = [STRIPE, "trigger", event, "--api-base", standin.url, "--api-key", API_KEY]
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    # It tells its makers of each run, and now and then ends in a panic over that.
    environment["STRIPE_CLI_TELEMETRY_OPTOUT"] = "1"
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert event in kinds(standin)
