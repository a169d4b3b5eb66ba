"""What a browser does, without one: cookies kept, forms sent with their token, errors looked at."""

import re

from django.core import signing
from django.test import Client

from tests.conftest import PASSWORD

SALT = "django.contrib.sessions.backends.signed_cookies"
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


class Browser:
    def __init__(self):
        self.client = Client(
            enforce_csrf_checks=True,
            raise_request_exception=False,
            headers={"Accept": HTML, "User-Agent": FIREFOX},
        )

    def get(self, path, **headers):
        return self.client.get(path, headers=headers)

    def post(self, path, data=None, **headers):
        """As a script of another site would: without the form's token."""
        return self.client.post(path, data or {}, headers=headers)

    def send(self, path, data=None, *, page=None, **headers):
        """Send a form of `page`, or of the page at its own address."""
        token = TOKEN.search(self.get(page or path).text)
        assert token, f"{page or path} has no form"
        return self.post(path, {**(data or {}), "csrfmiddlewaretoken": token[1]}, **headers)

    def log_in(self, person, **fields):
        response = self.send("/login", {"email": person.user.email, "password": PASSWORD, **fields})
        assert response.status_code == 303, response.text
        return response

    @property
    def session_cookie(self):
        cookie = self.client.cookies.get("session")
        return cookie.value if cookie else ""

    @property
    def held(self):
        """What the session's cookie holds."""
        return signing.loads(self.session_cookie, salt=SALT)

    @property
    def sid(self):
        return self.held["sid"]


def browser_of(person):
    browser = Browser()
    browser.log_in(person)
    return browser


def assert_page(response, status, *texts):
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    for text in texts:
        assert text in response.text, response.text
