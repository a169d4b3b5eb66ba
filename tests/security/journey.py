"""A journey in which each secret of a platform is used, and what can go wrong goes wrong."""

import re
import secrets
from base64 import b64encode
from types import SimpleNamespace

import pyotp
import requests

from tests.security.platform import word

CSRF = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
LINK = re.compile(r"/([a-z-]+)\?token=([\w.:=-]+)")
STAFF_SECRET = re.compile(r'<code class="secret">(\w+)</code>')
RECOVERY_CODE = re.compile(r"<li><code>([\w-]+)</code></li>")
OWNER, STAFF = "olive@example.com", "sam@support.example"


class Traveller:
    def __init__(self, platform):
        self.platform = platform
        self.hide = platform.hidden.add
        self.session = requests.Session()

    def ask(self, method, path, expected, **options):
        answer = self.session.request(
            method, f"{self.platform.url}{path}", timeout=60, allow_redirects=False, **options
        )
        if answer.status_code != expected:
            self.platform.surprises.append((path, answer.status_code, expected, answer.text[-300:]))
        for cookie in self.session.cookies:
            self.hide("a cookie", cookie.value)
        if answer.status_code >= 400:
            self.platform.note("the error answers", answer.text)
        return answer

    def api(self, path, expected, bearer=None, **body):
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return self.ask("POST", path, expected, json=body, headers=headers).json()

    def tokens(self, answer):
        assert "access_token" in answer, self.platform.surprises
        self.hide("an access token", answer["access_token"])
        self.hide("a refresh token", answer["refresh_token"])
        return SimpleNamespace(access=answer["access_token"], refresh=answer["refresh_token"])

    def send(self, path, expected, **fields):
        page = self.ask("GET", path, 200)
        token = self.hide("a form's token", CSRF.search(page.text)[1])
        return self.ask("POST", path, expected, data={**fields, "csrfmiddlewaretoken": token})

    def work(self, **options):
        self.platform.command("worker", "--once", **options)

    def mailed_token(self, purpose):
        """Of the newest mail with a link for it."""
        self.work()
        texts = [part["value"] for mail in self.platform.sendgrid.took for part in mail["content"]]
        found = [token for text in texts for name, token in LINK.findall(text)]
        self.hide("a link's token", *found)
        return [token for text in texts for name, token in LINK.findall(text) if name == purpose][-1]


def travel(platform):
    """Everything once, and whatever can go wrong on the way."""
    traveller = Traveller(platform)
    tokens = log_in(traveller)
    refuse(traveller, tokens)
    tokens = reset_password(traveller)
    use_pages(traveller)
    fail(traveller, tokens)
    pay(traveller, tokens)
    serve_customers(traveller)
    operate(traveller)


def log_in(traveller):
    traveller.password = traveller.hide("a password", word("first"))
    registration = {"email": OWNER, "password": traveller.password, "org": "Nordwind", "name": "Olive"}
    traveller.tokens(traveller.api("/auth/register", 201, **registration))
    for email in (OWNER, "nobody@example.com"):
        traveller.api(
            "/auth/login", 401, email=email, password=traveller.hide("a wrong password", word("wrong"))
        )
    tokens = traveller.tokens(traveller.api("/auth/login", 200, email=OWNER, password=traveller.password))
    newer = traveller.tokens(traveller.api("/auth/refresh", 200, refresh_token=tokens.refresh))
    traveller.api("/auth/validate", 200, newer.access)
    # Its answer was not lost, long after: a token that is used twice ends its session.
    traveller.platform.let_rotations_age()
    traveller.api("/auth/refresh", 401, refresh_token=tokens.refresh)
    return traveller.tokens(traveller.api("/auth/login", 200, email=OWNER, password=traveller.password))


def refuse(traveller, tokens):
    """What is wrong has the password beside it, and is told."""
    password = traveller.hide("a refused password", word("refused"))
    traveller.api("/auth/register", 422, email="no address", password=password, org="X", name="X")
    traveller.api("/auth/register", 422, email="x@example.com", password=[password], org="X", name="X")
    traveller.api("/auth/register", 422, email="x@example.com", password=password * 9, org="X", name="X")
    traveller.api("/auth/login", 422, email=OWNER, password=password, passwort=password)
    json_type = {"Content-Type": "application/json"}
    body = f'{{"email": "{OWNER}", "password": "{password}"'
    traveller.ask("POST", "/auth/login", 400, data=body, headers=json_type)
    traveller.ask("POST", "/auth/login", 415, data={"password": password})
    traveller.ask("GET", f"/users/me?token={tokens.access}&access_token={tokens.access}", 401)
    traveller.ask("GET", f"/no/such?refresh_token={tokens.refresh}&password={password}", 404)
    traveller.ask("GET", f"/no/such/{tokens.access}", 404, headers={"Accept": "text/html"})
    forged = traveller.hide("a forged token", f"{tokens.access[:-20]}{secrets.token_urlsafe(15)}")
    traveller.ask("GET", "/users/me", 401, headers={"Authorization": f"Bearer {forged}"})


def reset_password(traveller):
    traveller.platform.sendgrid.status = 500
    traveller.api("/auth/password/forgot", 202, email=OWNER)
    # The provider refuses first: that is logged, and tried again.
    traveller.work()
    traveller.platform.sendgrid.status = 202
    traveller.api("/auth/password/forgot", 202, email=OWNER)
    token = traveller.link = traveller.mailed_token("reset-password")
    traveller.ask("GET", f"/reset-password?token={token}", 200)
    traveller.password = traveller.hide("a password", word("second"))
    traveller.api(
        "/auth/password/reset", 422, token=token, password=traveller.hide("a password", f"{word('long') * 6}")
    )
    traveller.api("/auth/password/reset", 200, token=token, password=traveller.password)
    traveller.api("/auth/password/reset", 422, token=token, password=traveller.password)
    return traveller.tokens(traveller.api("/auth/login", 200, email=OWNER, password=traveller.password))


def fail(traveller, tokens):
    """A fault whose own text holds what was sent: token, link, cookies, password."""
    traveller.ask(
        "POST",
        f"/raise/bug?token={traveller.link}",
        500,
        data={"password": traveller.hide("a password of a form", word("form"))},
        headers={"Authorization": f"Bearer {tokens.access}"},
    )


def use_pages(traveller):
    traveller.send("/login", 403, email=OWNER, password=traveller.hide("a wrong password", word("page")))
    traveller.send("/login", 303, email=OWNER, password=traveller.password)
    traveller.ask("GET", "/account", 200)
    traveller.ask("POST", "/login", 403, data={"email": OWNER, "password": traveller.password})


def pay(traveller, tokens):
    stripe = traveller.platform.stripe
    checkout = traveller.api("/payments/checkout", 201, tokens.access, plan="starter", interval="monthly")
    stripe.book.pay(checkout["id"])
    body, headers = stripe.signed(stripe.events()[-1])
    signature = traveller.hide("a webhook's signature", headers["Stripe-Signature"].rpartition("=")[2])
    traveller.ask("POST", "/webhooks/stripe", 200, data=body, headers=headers)
    headers["Stripe-Signature"] = headers["Stripe-Signature"].replace(signature, signature[::-1])
    traveller.ask("POST", "/webhooks/stripe", 400, data=body, headers=headers)


def serve_customers(traveller):
    """The support staff's log-in: the second factor is enrolled, and once a recovery code stands in for it."""
    platform = traveller.platform
    password = traveller.hide("a staff member's password", word("staff"))
    platform.create_staff(STAFF, password)
    traveller.session.cookies.clear()
    traveller.send(
        "/admin/login", 403, email=STAFF, password=traveller.hide("a wrong password", word("desk"))
    )
    traveller.send("/admin/login", 302, email=STAFF, password=password)
    page = traveller.ask("GET", "/admin/login/second-factor", 200)
    secret = traveller.hide("a TOTP secret", STAFF_SECRET.search(page.text)[1])
    page = traveller.send("/admin/login/second-factor", 200, code=pyotp.TOTP(secret).now())
    codes = RECOVERY_CODE.findall(page.text)
    traveller.hide("a recovery code", *codes)
    traveller.ask("GET", "/admin", 200)
    traveller.session.cookies.clear()
    traveller.send("/admin/login", 302, email=STAFF, password=password)
    traveller.send("/admin/login/second-factor", 403, code="000000")
    traveller.send("/admin/login/second-factor", 302, code=codes[0])
    traveller.ask("GET", "/admin", 200)


def operate(traveller):
    platform = traveller.platform
    token = platform.variables["METRICS_TOKEN"]
    traveller.hide("the metrics' token", b64encode(f"prometheus:{token}".encode()).decode())
    for path in ("/health", "/health/live", "/health/ready", "/health/redis", "/metrics"):
        answer = traveller.ask("GET", path, 200, headers={"Authorization": f"Bearer {token}"})
        platform.note("health and metrics", answer.text)
    platform.command("jwt_keys", "generate")
    platform.command("jwt_keys", "list")
    platform.command("check_isolation")
    platform.command("doctor", check=False)
    # A database that is away, and one that refuses the password.
    wrong = traveller.hide("a wrong password of saas_owner", secrets.token_urlsafe(24))
    port = platform.postgres.port
    for target in (f"127.0.0.1:{port}", "127.0.0.1:9"):
        url = f"postgres://saas_owner:{wrong}@{target}/saas"
        platform.command("migrate", check=False, OWNER_DATABASE_URL=url)
    traveller.work()
