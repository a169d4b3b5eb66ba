"""Browsers of other origins: those that CORS_ALLOWED_ORIGINS names, and no others."""

from contextlib import closing

import pytest

from tests.project.serving import running

ALLOWED = "https://app.example.com"
ALLOW = "Access-Control-Allow-Origin"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("cors") / "log"
    with running(log, CORS_ALLOWED_ORIGINS=ALLOWED, WEB_WORKERS="1") as server:
        yield server


def ask(server, method="GET", **headers):
    with closing(server.connect()) as connection:
        connection.request(method, "/users/me", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer


def test_an_allowed_origin_may_read_answers_errors_too(server):
    answer = ask(server, Origin=ALLOWED)
    assert answer.status == 401
    assert answer.headers[ALLOW] == ALLOWED
    assert "origin" in answer.headers["Vary"].lower()
    assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]


def test_an_allowed_origin_may_ask_beforehand(server):
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    answer = ask(server, "OPTIONS", Origin=ALLOWED, **asked)
    assert answer.status == 200
    assert answer.headers[ALLOW] == ALLOWED
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_another_origin_is_told_nothing(server):
    assert ALLOW not in ask(server, Origin="https://other.example.com").headers


def test_where_no_origin_is_allowed_none_is(tmp_path):
    with running(tmp_path / "log", CORS_ALLOWED_ORIGINS="", WEB_WORKERS="1") as server:
        answer = ask(server, Origin=ALLOWED)
        assert (answer.status, answer.headers[ALLOW]) == (401, None)
        assert ask(server, "OPTIONS", Origin=ALLOWED).headers[ALLOW] is None
