"""What a cache could keep of one person for another, and what a header could make of an answer that may be kept."""

import pytest
from django.test import Client
from django.urls import get_resolver

from saas.kit.pages import is_page
from tests.accounts.asking import patterns
from tests.conftest import Api
from tests.isolation.test_routes import methods_of
from tests.pages.browsing import browser_of
from tests.security.watching import address_of_nobody_yet

NOBODY = "00000000-0000-4000-8000-000000000000"
# The same for everybody, so that a cache may keep it.
FOR_EVERYBODY = {"/.well-known/jwks.json", "/openapi.yaml"}
# What a cache does not look at, and a framework may.
UNKEYED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-Scheme": "http",
    "X-Forwarded-Proto": "nothttps",
    "X-Forwarded-Port": "1337",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-For": "203.0.113.9",
    "X-Host": "evil.example",
    "X-Original-Host": "evil.example",
    "X-Original-URL": "/admin/evil",
    "X-Rewrite-URL": "/admin/evil",
    "X-HTTP-Method-Override": "POST",
    "X-Method-Override": "DELETE",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=http",
    "X-Script-Name": "/evil",
    "True-Client-IP": "203.0.113.9",
    "CF-Connecting-IP": "203.0.113.9",
    "X-Wap-Profile": "http://evil.example/x.xml",
    "Referer": "https://evil.example/",
    "Pragma": "akamai-x-cache-on",
    "Max-Forwards": "0",
}


def routes():
    for pattern in patterns(get_resolver("saas.urls").url_patterns):
        path = "/" + str(pattern.pattern).replace("<uuid:id>", NOBODY)
        if is_page(pattern.callback):
            yield path, "get", True
        else:
            yield from ((path, method, False) for method in methods_of(pattern.callback) or ("get",))


ROUTES = list(routes())


def is_kept(answer):
    return "no-store" not in answer.headers.get("Cache-Control", "")


def anybody():
    api = Api()
    api._client.defaults["REMOTE_ADDR"] = address_of_nobody_yet()
    return api


def test_no_answer_to_anybody_is_kept(alice):
    kept, browser = set(), browser_of(alice)
    for path, method, is_for_people in ROUTES:
        if path == "/auth/logout":
            continue  # Or the rest would be nobody's.
        answers = [getattr(anybody(), method)(path)]
        answers.append(browser.get(path) if is_for_people else getattr(alice.api, method)(path))
        assert 429 not in [answer.status_code for answer in answers]
        kept |= {path for answer in answers if is_kept(answer)}
    assert len(ROUTES) > 40
    assert kept == FOR_EVERYBODY


def test_no_error_is_kept(alice):
    for path in ("/no/such", "/users/me/x", "/static/none.css", "/.well-known/none", "/%00", "/..;/users/me"):
        assert not is_kept(alice.api.get(path)), path


@pytest.mark.parametrize("header", UNKEYED)
def test_a_header_changes_no_answer(header, alice):
    """Neither one that may be kept nor a page, a redirect or an error."""
    for path in (
        *FOR_EVERYBODY,
        "/",
        "/login",
        "/account",
        "/no/such",
        "/users/me",
        "/openapi.yaml",
        "/docs",
    ):
        answers = [
            Client(headers=headers, REMOTE_ADDR=address_of_nobody_yet()).get(path)
            for headers in (
                {"X-Request-Id": "of-the-cache"},
                {"X-Request-Id": "of-the-cache", header: UNKEYED[header]},
            )
        ]
        plain, odd = [(answer.status_code, stable(answer), dict(answer.headers)) for answer in answers]
        assert odd == plain, path
        assert "evil" not in answers[1].text, path


def stable(answer):
    """Without the token of its form, which is another one each time."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return [line for line in body.splitlines() if b"csrfmiddlewaretoken" not in line]


@pytest.mark.parametrize(
    "path",
    ["/account/x.css", "/account.css", "/account/%2e%2e/static/x.css", "/account;x.css", "/account%0ax.css"],
)
def test_a_page_is_not_found_under_a_name_that_caches_keep(path, alice):
    """Web cache deception."""
    answer = browser_of(alice).get(path)
    assert answer.status_code == 404
    assert not is_kept(answer)
    assert "alice@acme.example" not in answer.text


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost@evil.example",
        "localhost:80@evil.example",
        "localhost evil",
        "localhost/evil",
        "[::1",
        "",
    ],
)
def test_a_host_that_is_not_ours_makes_no_answer(host):
    for path in ("/", "/login", "/users/me", "/openapi.yaml", "/auth/password/forgot"):
        answer = Client(headers={"Host": host}, raise_request_exception=False).get(path)
        assert answer.status_code == 400, path
        assert "evil" not in answer.text
