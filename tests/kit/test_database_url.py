import pytest

from saas.kit.database_url import UnusableDatabaseUrl, parse_database_url


def test_it_works():
    assert parse_database_url("postgres://saas_app:s%40cret%2F@db.example:5433/sh%20op?sslmode=require") == {
        "NAME": "sh op",
        "USER": "saas_app",
        "PASSWORD": "s@cret/",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require"},
    }


def test_what_is_missing_is_empty():
    parsed = parse_database_url("postgresql:///shop")
    assert parsed == {"NAME": "shop", "USER": "", "PASSWORD": "", "HOST": "", "PORT": "", "OPTIONS": {}}


def test_a_socket_is_a_host():
    parsed = parse_database_url("postgres:///shop?host=/run/postgresql")
    assert (parsed["HOST"], parsed["OPTIONS"]) == ("/run/postgresql", {})


def test_it_reads_an_ipv6_address():
    assert parse_database_url("postgres://root@[::1]:5432/shop")["HOST"] == "::1"


@pytest.mark.parametrize("url", ["sqlite:///db.sqlite3", "sqlite://:memory:", "SQLite:db"])
def test_it_says_why_sqlite_will_not_do(url):
    with pytest.raises(UnusableDatabaseUrl, match=r"no row-level security.*needs no installation"):
        parse_database_url(url)


UNREADABLE = """
shop
mysql://root:secret@db/shop
postgres://db:secret/shop
postgres://u:secret@db:99999/shop
postgres://root:secret@db
postgres://root:secret@db/
postgres://u:secret@[::1/shop
"""


@pytest.mark.parametrize("url", UNREADABLE.split("\n"))
def test_it_refuses_others_without_repeating_a_password(url):
    with pytest.raises(UnusableDatabaseUrl) as refusal:
        parse_database_url(url)
    assert "secret" not in str(refusal.value)
