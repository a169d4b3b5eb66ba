"""The development environment: addresses, and secrets that are made once and kept.

What is given from outside wins.
"""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from saas.launcher.errors import LauncherError

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
# Which role connects with which URL. web and worker get just the ones that are theirs.
ROLES = {
    "DATABASE_URL": "saas_app",
    "OWNER_DATABASE_URL": "saas_owner",
    "WORKER_DATABASE_URL": "saas_worker",
    "SUPPORT_DATABASE_URL": "saas_support",
}
DATABASE_NAME = "saas"
WILDCARD_HOSTS = ("0.0.0.0", "::")  # noqa: S104 - to know them by


def given(name: str) -> str:
    """The variable's value, or the content of the file that NAME_FILE names; empty if there is neither."""
    if value := os.environ.get(name):
        return value
    file = os.environ.get(f"{name}_FILE")
    return Path(file).read_text().strip() if file else ""


def listen_address() -> tuple[str, int]:
    """Where web is to listen, from HOST and PORT. Raises LauncherError."""
    port = given("PORT") or "8000"
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise LauncherError(f"PORT={port} is not a port: give a number from 1 to 65535.")
    return given("HOST") or "127.0.0.1", int(port)


def local_name(host: str) -> str:
    """By which this machine reaches what listens on `host`, as a URL has it."""
    if host in WILDCARD_HOSTS:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def kept_secrets(directory: Path) -> dict[str, str]:
    """Read them from secrets.json, and make those that are missing."""
    file = directory / "secrets.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    made = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "TENANCY_CONTEXT_KEYS": secrets.token_hex(32),
        "STRIPE_WEBHOOK_SECRET": f"whsec_{secrets.token_hex(24)}",
        **{role: secrets.token_urlsafe(24) for role in ROLES.values()},
    }
    if not made.keys() <= known.keys():
        known = made | known
        write_private(file, json.dumps(known, indent=2))
    return known


def write_private(file: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner alone."""
    file.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(file)


def role_urls(superuser_url: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """The four roles' URLs on the superuser's server: its database, or `saas` where it names `postgres`."""
    parts = urlsplit(superuser_url)
    database = parts.path if parts.path != "/postgres" else f"/{DATABASE_NAME}"
    server = parts.netloc.rpartition("@")[2]
    return {
        variable: parts._replace(
            netloc=f"{role}:{quote(passwords[role], safe='')}@{server}", path=database
        ).geturl()
        for variable, role in ROLES.items()
    }


def development_defaults(directory: Path, kept: Mapping[str, str], *, host: str, port: int) -> dict[str, str]:
    """What development needs beside the servers' URLs."""
    names = ["localhost", "127.0.0.1", "[::1]", local_name(host)]
    return {
        "DEPLOYMENT_ENV": "development",
        "HOST": host,
        "PORT": str(port),
        "PUBLIC_URL": f"http://localhost:{port}",
        "ALLOWED_HOSTS": "*" if host in WILDCARD_HOSTS else ",".join(dict.fromkeys(names)),
        "JWT_KEYS_DIR": str(directory / "jwt_keys"),
        "EMAIL_FILE_PATH": str(directory / "mail"),
        **{name: kept[name] for name in ("SECRET_KEY", "TENANCY_CONTEXT_KEYS", "STRIPE_WEBHOOK_SECRET")},
    }


def over_defaults(defaults: Mapping[str, str]) -> dict[str, str]:
    """A child's environment: ours, and the defaults for what nobody gave or what was given empty."""
    return {
        **{name: value for name, value in defaults.items() if not os.environ.get(f"{name}_FILE")},
        **{name: value for name, value in os.environ.items() if value or name not in defaults},
    }
