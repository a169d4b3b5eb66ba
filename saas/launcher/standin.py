"""What stands in for Stripe where no key of a real account was given."""

import os
import sys
from pathlib import Path

from saas.launcher.processes import LOOPBACK, answers
from saas.launcher.servers import Server

API_KEY = "sk_test_standin"


class StandIn(Server):
    """It keeps what it knows in `state`; its log lies beside it."""

    version = "(no Stripe, takes no money)"

    def __init__(self, state: Path, *, port: int, webhook_url: str, webhook_secret: str) -> None:
        self.state = state
        self.port = port
        super().__init__(
            "Stripe stand-in",
            [
                *(sys.executable, "-m", "billing.standin", "--port", str(port), "--state", state),
                *("--api-key", API_KEY, "--webhook-url", webhook_url),
            ],
            # There, no process list shows it.
            environment={**os.environ, "STRIPE_WEBHOOK_SECRET": webhook_secret},
            log=state.with_suffix(".log"),
        )

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        return {"STRIPE_SECRET_KEY": API_KEY, "STRIPE_API_BASE": self.url}

    def _is_ready(self) -> bool:
        return answers(f"{self.url}/style.css")
