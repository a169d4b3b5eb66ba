"""What each page takes of the server's time: one request after the other, on the crowd's organization of 1,000."""

import http.client
import os
import re
import statistics
import subprocess
import sys
import time
from contextlib import closing
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pyotp

from bench.environment import HOST
from bench.load import WrongAnswers
from bench.people import PASSWORD, Person
from bench.sides import Side

REQUESTS = 20
ADDRESSES = (f"{high}.{low}" for high in range(256) for low in range(256))
STAFF = "support@bench.example"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
SECRET = re.compile(r'<code class="secret">(\w+)</code>')
OPEN = ("/", "/login", "/register", "/forgot-password")
PERSONS = (
    *("/account", "/account/email", "/account/password", "/account/sessions"),
    *("/organization", "/organization/members", "/organization/invitations", "/billing"),
)
STAFFS = ("/admin", "/admin?q=bench", "/admin/audit")
OPENED = ("", "/users", "/users?q=person", "/events", "/mails")


class Browser:
    """Keeps cookies itself: over plain http no library sends back those that are for https alone."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, **fields: str) -> tuple[int, str]:
        headers = {
            "Host": HOST,
            # Each from another address, so that no limit is met.
            "X-Forwarded-For": f"198.18.{next(ADDRESSES)}",
            "X-Forwarded-Proto": "https",
            "Referer": f"https://{HOST}{path}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
        }
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            connection.request(method, path, urlencode(fields) if fields else None, headers)
            answer = connection.getresponse()
            for line in answer.headers.get_all("Set-Cookie", []):
                for name, cookie in SimpleCookie(line).items():
                    self._cookies[name] = cookie.value
            return answer.status, answer.read().decode()

    def submit(self, path: str, *, form: str | None = None, **fields: str) -> str:
        """Post the form of a page, or of the page `form`; returns what that page was. Raises WrongAnswers."""
        _, page = self.ask("GET", form or path)
        found = TOKEN.search(page)
        status, answer = self.ask("POST", path, csrfmiddlewaretoken=found[1] if found else "", **fields)
        if status not in (200, 302, 303):
            raise WrongAnswers(f"POST {path} answered {status}: {answer[:500]}")
        return page


def person(side: Side, who: Person) -> Browser:
    browser = Browser(side.port)
    browser.submit("/login", email=who.email, password=PASSWORD)
    return browser


def staff(side: Side, organization: str) -> Browser:
    """Logged in with a new second factor, with the organization opened."""
    command = [sys.executable, "manage.py", "create_support_user", STAFF]
    subprocess.run(command, input=PASSWORD, text=True, env=os.environ, check=True, stdout=subprocess.DEVNULL)
    browser = Browser(side.port)
    browser.submit("/admin/login", email=STAFF, password=PASSWORD)
    _, page = browser.ask("GET", "/admin/login/second-factor")
    secret = SECRET.search(page)
    if not secret:
        raise WrongAnswers(f"no second factor to enrol: {page[:500]}")
    browser.submit("/admin/login/second-factor", code=pyotp.TOTP(secret[1]).now())
    browser.submit(f"{organization}/open", form=organization, reason="the benchmark")
    return browser


def run(side: Side, admins: list[Person]) -> dict[str, float]:
    """Print and return the median milliseconds of each page. Raises WrongAnswers."""
    organization = f"/admin/organizations/{admins[0].organization.id}"
    visits = [
        (Browser(side.port), OPEN),
        (person(side, admins[0]), PERSONS),
        (staff(side, organization), (*STAFFS, *(f"{organization}{part}" for part in OPENED))),
    ]
    found = {}
    for browser, paths in visits:
        for path in paths:
            found[path.replace(organization, "/admin/organizations/…")] = median(browser, path)
    for path, milliseconds in found.items():
        print(f"  {path:42}{milliseconds:8.1f} ms")
    return found


def median(browser: Browser, path: str) -> float:
    times = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        status, page = browser.ask("GET", path)
        times.append((time.perf_counter() - started) * 1000)
        if status != 200:
            raise WrongAnswers(f"GET {path} answered {status}: {page[:500]}")
    return statistics.median(times[1:])
