"""Reads database URLs. It imports nothing of Django: the launcher needs it before settings can load."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

NO_SQLITE = (
    "SQLite can't run this platform: it has no row-level security, so nothing would fence organizations off "
    "from each other. The embedded PostgreSQL needs no installation: leave DATABASE_URL unset and "
    "`make run` starts it."
)
POSTGRES_SCHEMES = {"postgres", "postgresql"}


class UnusableDatabaseUrl(ValueError):
    """The URL names no PostgreSQL database. The message never repeats the URL, which may hold a password."""


def parse_database_url(url: str) -> dict[str, Any]:
    """Return Django's names for the parts of postgres://USER:PASSWORD@HOST:PORT/NAME?OPTION=VALUE.

    Raises UnusableDatabaseUrl.
    """
    scheme = url.partition(":")[0].lower()
    if scheme.startswith("sqlite"):
        raise UnusableDatabaseUrl(NO_SQLITE)
    if scheme not in POSTGRES_SCHEMES:
        raise UnusableDatabaseUrl("A database URL must look like postgres://user:password@host:5432/name.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Its own text would repeat what it took for a port, which may be half a password.
        raise UnusableDatabaseUrl(
            "The database URL can't be read. Write / @ : in a password as %2F %40 %3A."
        ) from None
    options = dict(parse_qsl(parts.query))
    name = unquote(parts.path.removeprefix("/"))
    if not name:
        raise UnusableDatabaseUrl("The database URL names no database: it ends in /name.")
    return {
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or "") or options.pop("host", ""),
        "PORT": str(port or ""),
        "OPTIONS": options,
    }
