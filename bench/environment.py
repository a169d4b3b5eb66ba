"""The environment of what is measured: production's flags, on the throwaway servers that the launcher gives."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

HOST = "app.example.com"
WORKERS = 2
# Only the owner's tools may hold these; a web process never does.
OWNERS_ALONE = (
    "OWNER_DATABASE_URL",
    "WORKER_DATABASE_URL",
    "SUPPORT_DATABASE_URL",
    "BOOTSTRAP_DATABASE_URL",
)
PRODUCTION = {
    "DEPLOYMENT_ENV": "production",
    "PUBLIC_URL": f"https://{HOST}",
    "ALLOWED_HOSTS": HOST,
    "TRUSTED_PROXY_COUNT": "1",
    "SENDGRID_API_KEY": "SG.for-the-benchmark",
    # The receiver takes the event's own snapshot where Stripe can't be asked.
    "STRIPE_SECRET_KEY": "",
    "BCRYPT_ROUNDS": "12",
    "WEB_WORKERS": str(WORKERS),
    "DJANGO_SETTINGS_MODULE": "saas.settings",
}


def enter_production() -> None:
    """Make it this process's own environment, which everything that it starts inherits."""
    if "BOOTSTRAP_DATABASE_URL" not in os.environ or "REDIS_URL" not in os.environ:
        raise SystemExit("The benchmark needs servers of its own: run `make bench`.")
    os.environ.update(PRODUCTION)
    os.environ["STATIC_ROOT"] = str(directory() / "static")


def web_environment(*, port: int, redis_database: int, **changes: str) -> dict[str, str]:
    """What a web process gets; each side has a Redis database of its own, or it would find another's facts."""
    kept = {name: value for name, value in os.environ.items() if name not in OWNERS_ALONE}
    redis_url = with_path(os.environ["REDIS_URL"], str(redis_database))
    return {**kept, "HOST": "127.0.0.1", "PORT": str(port), "REDIS_URL": redis_url, **changes}


def with_path(url: str, path: str) -> str:
    """The URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{path}").geturl()


def with_database(environment: Mapping[str, str], name: str) -> dict[str, str]:
    """The roles' URLs, on another database of the same server."""
    names = ("DATABASE_URL", *OWNERS_ALONE[:3])
    return {variable: with_path(environment[variable], name) for variable in names if variable in environment}


def directory() -> Path:
    """For logs and requests; it goes with the throwaway servers."""
    found = Path(os.environ["JWT_KEYS_DIR"]).parent / "bench"
    found.mkdir(exist_ok=True)
    return found
