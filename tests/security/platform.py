"""A platform of its own whose secrets are all known, and what comes out of it."""

import os
import re
import secrets
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import psycopg

from billing.standin.server import StandIn
from saas.kit.context_keys import parse_context_keys
from saas.launcher.environment import ROLES, role_urls
from saas.launcher.processes import free_port
from saas.launcher.servers import Postgres, Valkey
from tenancy.bootstrap import bootstrap
from tests.conftest import manage
from tests.project.launching import ROOT
from tests.project.observing import failing_project, receiving
from tests.project.serving import running
from tests.sendgrid import KEY, SendGrid

ID = re.compile(r"[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}")
# What an operator may switch on to see what is slow or fails: PostgreSQL then writes every statement's text
# and, as it does by default, every parameter.
TALKATIVE = {
    "log_min_duration_statement": "0",
    "log_min_error_statement": "error",
    "log_parameter_max_length_on_error": "-1",
}


def word(kind):
    """Nothing else anywhere is made of it, so that it is found wherever it went."""
    return f"{kind}-{secrets.token_urlsafe(18)}"


class Secrets:
    """Everything that nobody may find again, by its name."""

    def __init__(self):
        self.known = {}

    def add(self, name, *values):
        """Returns the first. Of a token each part counts that is not every token's."""
        self.known.setdefault(name, set())
        for value in values:
            parts = re.split(r"[.:]", value)
            parts = parts[1:] if value.startswith("eyJ") else parts
            # A user's id is none.
            self.known[name] |= {
                value,
                *(part for part in parts if len(part) >= 20 and not ID.fullmatch(part)),
            }
        return values[0]

    def found_in(self, text):
        return sorted({name for name, values in self.known.items() if any(value in text for value in values)})


class Sampler:
    """Reads the text of every session's statement, as a superuser, for as long as its block lasts."""

    def __init__(self, url):
        self.url = url
        self.texts = set()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._sample)

    def _sample(self):
        with psycopg.connect(self.url, autocommit=True) as superuser:
            while not self.is_over.is_set():
                rows = superuser.execute("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
                self.texts |= {row[0] for row in rows if row[0]}
                time.sleep(0.001)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


class Platform:
    """`seen` is what came out, by place; `hidden` what may not be in it."""

    def __init__(self, folder):
        self.folder = folder
        self.hidden = Secrets()
        self.seen = {}
        self.surprises = []

    def note(self, place, text):
        self.seen[place] = f"{self.seen.get(place, '')}\n{text}"

    def command(self, *arguments, check=True, **variables):
        done = manage(*arguments, check=check, **{**self.variables, **variables})
        self.note("the commands' output", done.stdout + done.stderr)
        return done

    def let_rotations_age(self):
        with psycopg.connect(self.postgres.url, dbname="saas") as superuser:
            superuser.execute(
                "UPDATE accounts_session SET rotated_at = rotated_at - interval '1 hour', recent_rotations = '[]'"
            )

    def create_staff(self, email, password):
        command = [sys.executable, "manage.py", "create_support_user", email, "--name=Sam"]
        environment = {**os.environ, **self.variables}
        done = subprocess.run(
            command,
            input=f"{password}\n",
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        self.note("the commands' output", done.stdout + done.stderr)

    @contextmanager
    def up(self):
        with ExitStack() as stack:
            enter = stack.enter_context
            self.postgres = enter(Postgres(self.folder / "postgres", durable=False))
            self.valkey = enter(Valkey(self.folder / "valkey", durable=False))
            self.sendgrid = enter(SendGrid())
            self.sentry, self.collector = enter(receiving()), enter(receiving())
            self.talk()
            port = free_port()
            self.stripe = enter(
                StandIn(
                    webhook_url=f"http://127.0.0.1:{port}/webhooks/stripe",
                    webhook_secret=self.hidden.add("the webhooks' secret", f"whsec_{secrets.token_hex(16)}"),
                    api_key=self.hidden.add("Stripe's key", f"sk_test_{secrets.token_hex(16)}"),
                )
            )
            self.variables = self._variables(port)
            with Sampler(self.postgres.url) as sampler:
                self._prepare()
                with running(
                    self.folder / "web.log", port, **self.variables, **failing_project(self.folder)
                ) as server:
                    self.url = f"http://127.0.0.1:{server.port}"
                    yield self
                self._gather(sampler)

    def talk(self):
        with psycopg.connect(self.postgres.url, autocommit=True) as superuser:
            for name, value in TALKATIVE.items():
                superuser.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            superuser.execute("SELECT pg_reload_conf()")

    def _variables(self, port):
        hide = self.hidden.add
        passwords = {role: hide(f"{role}'s password", secrets.token_urlsafe(24)) for role in ROLES.values()}
        bootstrap(self.postgres.url, database="saas", passwords=passwords)
        hide("the superuser's password", self.postgres.password)
        hide("Redis' password", self.valkey.password)
        # The pads that PostgreSQL holds are as good as the key that they are made of.
        context_key = secrets.token_hex(32)
        [key] = parse_context_keys([context_key])
        hide("the context key", context_key, key.inner_pad.hex(), key.outer_pad.hex())
        return {
            **role_urls(self.postgres.url, passwords),
            "REDIS_URL": self.valkey.url,
            "DEPLOYMENT_ENV": "development",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "DEBUG",
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "SECRET_KEY": hide("SECRET_KEY", secrets.token_urlsafe(48)),
            "TENANCY_CONTEXT_KEYS": context_key,
            "JWT_KEYS_DIR": str(self.folder / "jwt_keys"),
            "METRICS_TOKEN": hide("the metrics' token", word("metrics")),
            "EMAIL_BACKEND": "anymail.backends.sendgrid.EmailBackend",
            "SENDGRID_API_KEY": hide("the mail provider's key", KEY),
            "SENDGRID_API_URL": self.sendgrid.url,
            "STRIPE_SECRET_KEY": self.stripe.api.api_key,
            "STRIPE_WEBHOOK_SECRET": self.stripe.webhook_secret,
            "STRIPE_API_BASE": self.stripe.url,
            "SENTRY_DSN": self.sentry.dsn,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.collector.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def _prepare(self):
        self.command("migrate", "--verbosity=1")
        self.command("jwt_keys", "generate")
        self.command("sync_plans")

    def _gather(self, sampler):
        keys = [path.read_text() for path in (self.folder / "jwt_keys").rglob("*") if path.is_file()]
        lines = [line for text in keys if "PRIVATE KEY" in text for line in text.splitlines()[1:-1]]
        self.hidden.add("a signing key", *lines)
        self.note("web's log", (self.folder / "web.log").read_text())
        self.note("PostgreSQL's log", self.postgres.log.read_text())
        self.note("pg_stat_activity", "\n".join(sampler.texts))
        for place, receiver in (("Sentry", self.sentry), ("the collector", self.collector)):
            self.note(place, "\n".join(body.decode(errors="replace") for _, body in receiver.received))
