"""Plain http leads people on, and nobody else: ASVS 4.1.2."""

import pytest
from django.test import Client

HTML = {"Accept": "text/html,*/*;q=0.8"}


@pytest.fixture
def client(settings):
    settings.SECURE_SSL_REDIRECT = True
    return Client()


@pytest.mark.parametrize("path", ["/", "/login", "/account", "/admin", "/admin/login", "/docs"])
def test_who_opens_a_page_is_led_to_https(client, path):
    answer = client.get(path, headers=HTML)
    assert (answer.status_code, answer.headers["Location"]) == (301, f"https://testserver{path}")


def test_also_by_an_address_that_there_is_not(client):
    assert client.get("/no/such", headers=HTML).status_code == 301


@pytest.mark.parametrize("accept", [{}, HTML])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/auth/login"),
        ("GET", "/users/me"),
        ("GET", "/.well-known/jwks.json"),
        ("POST", "/webhooks/stripe"),
        ("POST", "/webhooks/mail"),
        ("GET", "/openapi.yaml"),
    ],
)
def test_a_program_is_refused_and_hears_why(client, method, path, accept):
    answer = client.generic(method, path, headers=accept)
    assert (answer.status_code, answer.json()["code"]) == (403, "https_required")
    assert "Location" not in answer.headers


@pytest.mark.parametrize("path", ["/health/live", "/metrics"])
def test_probes_are_answered(client, path):
    assert client.get(path).status_code in (200, 404)


def test_over_https_all_is_as_ever(client):
    assert client.get("/login", secure=True).status_code == 200
    assert client.get("/users/me", secure=True).json()["code"] == "not_authenticated"
