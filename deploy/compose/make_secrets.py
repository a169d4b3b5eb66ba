"""Makes the secrets that docker-compose.yml mounts, each in a file; what is there already stays.

    python3 deploy/compose/make_secrets.py [DIRECTORY]

Those of Stripe, SendGrid and TLS are made empty: write yours into them. It needs Python alone.
"""

import argparse
import secrets
import sys
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[2] / ".local" / "secrets"
GIVEN = (
    "stripe_secret_key",
    "stripe_webhook_secret",
    "sendgrid_api_key",
    "sendgrid_webhook_key",
    "tls_certificate",
    "tls_key",
)
ROLES = {
    "database_url": "saas_app",
    "owner_database_url": "saas_owner",
    "worker_database_url": "saas_worker",
    "support_database_url": "saas_support",
}


def make(directory: Path) -> list[str]:
    """Returns the names of the files that it made."""
    # Nobody else on this machine gets past the directory; in a container any user may read what is mounted there.
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    made = []

    def keep(name: str, value: str) -> str:
        path = directory / name
        if not path.exists():
            path.write_text(value)
            path.chmod(0o444 if name not in GIVEN else 0o644)
            made.append(name)
        return path.read_text().strip()

    keep("secret_key", secrets.token_urlsafe(48))
    keep("tenancy_context_keys", secrets.token_hex(32))
    keep("metrics_token", secrets.token_hex(32))
    keep("grafana_password", secrets.token_urlsafe(24))
    redis = keep("redis_password", secrets.token_hex(32))
    keep("redis_url", f"redis://:{redis}@redis:6379/0")
    postgres = keep("postgres_password", secrets.token_hex(32))
    keep("bootstrap_database_url", f"postgres://postgres:{postgres}@database:5432/postgres")
    for name, role in ROLES.items():
        keep(name, f"postgres://{role}:{secrets.token_hex(32)}@database:5432/saas")
    for name in GIVEN:
        keep(name, "")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the secrets that docker-compose.yml mounts.")
    parser.add_argument("directory", nargs="?", type=Path, default=DEFAULT)
    directory = parser.parse_args().directory
    made = make(directory)
    empty = [name for name in GIVEN if not (directory / name).read_text().strip()]
    sys.stdout.write(f"{directory}: made {', '.join(made) or 'nothing, all were there'}\n")
    if empty:
        sys.stdout.write(f"still empty, for you to fill: {', '.join(empty)}\n")


if __name__ == "__main__":
    main()
