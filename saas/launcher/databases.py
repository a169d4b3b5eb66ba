"""What a DATABASE_URL from outside allows: to make the roles on its server, or just to use them."""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

from saas.kit.database_url import UnusableDatabaseUrl, parse_database_url
from saas.launcher.environment import ROLES, given, role_urls
from saas.launcher.errors import LauncherError


@dataclass(frozen=True)
class Databases:
    """`superuser_url` is empty where there is none to make roles with."""

    urls: dict[str, str]
    superuser_url: str


def given_databases(passwords: Mapping[str, str]) -> Databases | None:
    """None if no DATABASE_URL was given. Raises LauncherError for one that can't be used."""
    url = given("DATABASE_URL")
    if not url:
        return None
    urls = {variable: value for variable in ROLES if (value := given(variable))}
    for variable, value in urls.items():
        try:
            parse_database_url(value)
        except UnusableDatabaseUrl as error:
            raise LauncherError(f"{variable} can't be used. {error}") from error
    if _is_superuser(url):
        return Databases(role_urls(url, passwords), url)
    if missing := [variable for variable in ROLES if variable not in urls]:
        raise LauncherError(
            "The role of DATABASE_URL is not a superuser, so it can't make the platform's roles. "
            f"Give {', '.join(missing)} too, each with its own role, "
            "or a superuser's URL as DATABASE_URL, and the roles are made for you."
        )
    return Databases(urls, given("BOOTSTRAP_DATABASE_URL"))


def _is_superuser(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    except psycopg.Error as error:
        raise LauncherError(f"DATABASE_URL can't be used. {str(error).strip()}") from error
    return row is not None and bool(row[0])
