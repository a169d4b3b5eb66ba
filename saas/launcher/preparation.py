"""Roles, migrations, signing keys, the demo organization and its plans, kept in step with their sources."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from saas.launcher.environment import ROOT, write_private
from saas.launcher.errors import LauncherError
from saas.launcher.processes import Child

BOOTSTRAP = ["bootstrap_database"]
STEPS = [["migrate", "--no-input", "--verbosity=0"], ["jwt_keys", "generate", "--if-missing"]]
DEMO = ["seed_demo"]
PLANS = ["sync_plans"]
# What a changed preparation shows in. Other code may change without a new one.
SOURCES = (
    "*/migrations/*.py",
    "*/management/commands/*.py",
    "**/*.sql",
    "billing/plans.py",
    "requirements.lock",
    "saas/settings.py",
    "tenancy/bootstrap.py",
)
SECRETS = ("SECRET_KEY", "TENANCY_CONTEXT_KEYS", "JWT_KEYS_DIR")


class Preparation:
    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        *,
        superuser_url: str,
        standin_state: Path | None = None,
    ) -> None:
        """`standin_state` is the file of the stand-in for Stripe, which is to know the plans."""
        self._stamp = directory / "prepared"
        self._log_ins = directory / "demo-log-ins"
        self._environment = environment
        self._superuser_url = superuser_url
        self._standin_state = standin_state

    @property
    def is_current(self) -> bool:
        return self._stamp.exists() and self._stamp.read_text() == self._fingerprint()

    @property
    def log_ins(self) -> str:
        return self._log_ins.read_text().strip()

    def run(self) -> None:
        """Raises LauncherError at the first step that fails."""
        self._stamp.unlink(missing_ok=True)
        if self._superuser_url:
            self._manage(BOOTSTRAP, {**self._environment, "BOOTSTRAP_DATABASE_URL": self._superuser_url})
        for step in STEPS:
            self._manage(step, self._environment)
        if self._standin_state:
            self._manage(PLANS, self._environment, log=Path(os.devnull))
        demo = self._stamp.with_name("demo-log-ins.unfinished")
        write_private(demo, "")
        self._manage(DEMO, self._environment, log=demo)
        demo.replace(self._log_ins)
        write_private(self._stamp, self._fingerprint())

    def _manage(self, arguments: list[str], environment: Mapping[str, str], log: Path | None = None) -> None:
        command = Child(
            arguments[0],
            [sys.executable, "manage.py", *arguments],
            environment=environment,
            log=log,
            log_errors=False,
        )
        try:
            command.start()
            command.wait()
        finally:
            command.kill()
        if command.exit_code != 0:
            raise LauncherError(
                f"`manage.py {' '.join(arguments)}` failed with exit code {command.exit_code}."
            )

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for part in self._parts():
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    def _parts(self) -> Iterator[bytes]:
        for path in sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)}):
            if not any(place.startswith(".") for place in path.relative_to(ROOT).parts):
                yield bytes(path)
                yield path.read_bytes()
        for name in SECRETS:
            yield self._environment.get(name, "").encode()
        keys = Path(self._environment["JWT_KEYS_DIR"])
        yield " ".join(sorted(key.name for key in keys.glob("*"))).encode()
        if self._standin_state and self._standin_state.exists():
            yield " ".join(json.loads(self._standin_state.read_text())["prices"]).encode()
