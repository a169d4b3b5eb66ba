"""Errors leave for Sentry, and nothing else does: read off a real server that stands in for it."""

import http.client
import os
import re
import subprocess
import sys
from contextlib import closing

import pytest
from django.core import signing

from accounts.links import make_link
from saas.settings import VERSION
from tests.conftest import manage
from tests.project.launching import ROOT, eventually
from tests.project.observing import attributes, failing_project, receiving
from tests.project.serving import running, start

BODY = "password=correct-horse-battery&email=grace%40example.com"
# redis-py itself takes up the rest of OpenTelemetry, where it is installed.
OPTIONAL = ("sentry_sdk", "opentelemetry.exporter", "opentelemetry.instrumentation")


def send(server, path, **headers):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        connection.request("POST", path, body=BODY, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer


def loaded_after(code, **variables):
    """Which of the optional packages a process of its own has imported."""
    code += f"\nimport sys\nprint([name for name in {OPTIONAL} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


class TestOff:
    def test_nothing_is_imported(self):
        code = "import saas.wsgi\nfrom saas import observability\nobservability.start()"
        assert loaded_after(code, DJANGO_SETTINGS_MODULE="saas.settings") == "[]"

    def test_a_missing_package_is_named_with_its_file(self, tmp_path):
        (tmp_path / "sentry_sdk.py").write_text(
            "raise ModuleNotFoundError('No module named sentry_sdk', name='sentry_sdk')"
        )
        path = f"{tmp_path}:{ROOT}"
        done = manage("check", check=False, SENTRY_DSN="http://key@127.0.0.1:9/1", PYTHONPATH=path)
        assert done.returncode == 1
        assert "sentry_sdk is not installed: pip install --require-hashes" in done.stderr
        server = start(tmp_path / "log", SENTRY_DSN="http://key@127.0.0.1:9/1", PYTHONPATH=path)
        try:
            assert server.process.wait(timeout=60) != 0
        finally:
            server.process.kill()
        assert "requirements-observability.lock" in server.log.read_text()


class TestSentry:
    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip("sentry_sdk")

    @pytest.fixture
    def sentry(self):
        with receiving() as receiver:
            yield receiver

    @pytest.fixture
    def server(self, sentry, tmp_path):
        with running(tmp_path / "log", SENTRY_DSN=sentry.dsn, **failing_project(tmp_path)) as server:
            yield server

    def test_a_fault_arrives_without_what_is_secret_or_personal(self, server, sentry, alice):
        link = make_link(
            "verify-email", organization_id=alice.organization_id, subject_id=alice.user.id
        ).partition("token=")[2]
        secrets = {
            "token": alice.access_token,
            "link": link,
            "cookie": signing.dumps(
                {"sid": alice.session_id}, salt="django.contrib.sessions.backends.signed_cookies"
            ),
            "password": "correct-horse-battery",
        }
        answer = send(
            server,
            f"/raise/bug?token={link}",
            Authorization=f"Bearer {alice.access_token}",
            Cookie=f"session={secrets['cookie']}",
        )
        assert answer.status == 500
        assert eventually(lambda: sentry.events), server.log.read_text()
        (event,) = sentry.events
        (error,) = event["exception"]["values"]
        assert error["type"] == "RuntimeError"
        assert error["stacktrace"]["frames"][-1]["function"] == "bug"
        assert event["tags"] == {
            "request_id": answer.headers["X-Request-Id"],
            "organization_id": str(alice.organization_id),
        }
        assert not {"request", "user", "extra", "breadcrumbs", "contexts", "modules"} & set(event)
        assert (event["release"], event["environment"]) == (VERSION, os.environ["DEPLOYMENT_ENV"])
        sent = b"".join(body for _, body in sentry.received).decode()
        for name, secret in secrets.items():
            assert secret not in sent, name
            for part in re.split("[.:]", secret):
                assert len(part) < 10 or part not in sent, name
        for personal in ("ada@example.com", "grace", "alice@", "127.0.0.1:" + str(server.port), "(Lovelace)"):
            assert personal not in sent, personal

    def test_what_is_expected_is_not_sent(self, server, sentry):
        assert [send(server, f"/raise/{name}").status for name in ("expected", "logged", "away")] == [
            409,
            200,
            503,
        ]
        # Another fault comes after them, in each worker's one queue.
        send(server, "/raise/bug?token=x", Authorization="Basic eDp5", Cookie="a=b")
        assert eventually(lambda: sentry.events)
        assert {event["exception"]["values"][-1]["type"] for event in sentry.events} == {"RuntimeError"}

    def test_a_command_that_fails_is_sent_before_it_ends(self, sentry):
        url = "postgres://saas_owner:secret-word@127.0.0.1:9/saas"
        assert manage("migrate", check=False, SENTRY_DSN=sentry.dsn, OWNER_DATABASE_URL=url).returncode == 1
        (event,) = sentry.events
        assert event["exception"]["values"][-1]["type"] == "OperationalError"
        assert "secret-word" not in str(sentry.received)

    def test_an_address_that_is_none_is_refused_and_not_repeated(self):
        done = manage("check", check=False, SENTRY_DSN="https://secret-word/nothing")
        assert done.returncode == 1
        assert "SENTRY_DSN is no address" in done.stderr


def test_a_sentry_that_never_answers_holds_nobody_up(tmp_path):
    """Its queue is filled several times over, while the first event still waits for its answer."""
    pytest.importorskip("sentry_sdk")
    with receiving(hangs=True) as sentry:
        variables = {"SENTRY_DSN": sentry.dsn, "WEB_WORKERS": "1", **failing_project(tmp_path)}
        with running(tmp_path / "log", **variables) as server:
            headers = {"Authorization": "Basic eDp5", "Cookie": "a=b"}
            statuses = {send(server, "/raise/bug?token=x", **headers).status for _ in range(250)}
            assert statuses <= {500, 429}
            assert server.get("/health/live").status == 200
            assert len(sentry.received) == 1


class TestTraces:
    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

    @pytest.fixture
    def collector(self):
        with receiving() as receiver:
            yield receiver

    def variables(self, collector):
        url = f"http://127.0.0.1:{collector.port}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100", "WEB_WORKERS": "1"}

    def test_a_request_its_statements_and_redis_are_one_trace(self, collector, tmp_path, alice):
        theirs = "0af7651916cd43dd8448eb211c80319c"
        headers = {
            "Authorization": f"Bearer {alice.access_token}",
            "Cookie": "a=cookie-of-a-browser",
            "traceparent": f"00-{theirs}-b7ad6b7169203331-01",
        }
        with running(tmp_path / "log", SESSION_FACTS_SECONDS="0", **self.variables(collector)) as server:
            answer = server.get("/users/me?token=token-of-a-link", **headers)
            server.get("/health/live")
        assert answer.status == 200
        (request,) = [span for span in collector.spans if not span.parent_span_id]
        assert request.name == "GET /users/me"
        assert request.trace_id.hex() != theirs
        assert attributes(request) == {
            "http.request.method": "GET",
            "http.route": "/users/me",
            "http.response.status_code": 200,
            "saas.request_id": answer.headers["X-Request-Id"],
            "saas.organization_id": str(alice.organization_id),
        }
        inner = [
            span for span in collector.spans if span.trace_id == request.trace_id and span.parent_span_id
        ]
        texts = [attributes(span).get("db.query.text", "") for span in inner]
        assert any("%s" in text for text in texts), texts
        assert any(span.name.startswith("EVALSHA") for span in inner), [span.name for span in inner]
        sent = b"".join(body for _, body in collector.received)
        for secret in (
            alice.access_token,
            "token-of-a-link",
            "cookie-of-a-browser",
            alice.session_id,
            "alice@",
        ):
            assert secret.encode() not in sent, secret

    def test_a_fault_shows_its_kind_alone(self, collector, tmp_path):
        variables = self.variables(collector) | failing_project(tmp_path)
        with running(tmp_path / "log", **variables) as server:
            send(server, "/raise/bug?token=x", Authorization="Basic eDp5", Cookie="a=b")
        (span,) = [span for span in collector.spans if span.name.endswith("/raise/bug")]
        assert span.status.code == span.status.STATUS_CODE_ERROR
        assert b"Failing row" not in b"".join(body for _, body in collector.received)

    def test_a_job_is_a_trace_with_its_statements(self, collector, alice):
        backend = "django.core.mail.backends.console.EmailBackend"
        manage("worker", "--once", EMAIL_BACKEND=backend, **self.variables(collector))
        (job,) = [span for span in collector.spans if span.name == "send_mail"]
        assert not job.parent_span_id
        assert attributes(job)["saas.job_attempt"] == 1
        inner = [span for span in collector.spans if span.trace_id == job.trace_id]
        assert any("tenancy_mail" in attributes(span).get("db.query.text", "") for span in inner)
        assert b"alice@" not in b"".join(body for _, body in collector.received)

    def test_an_address_that_is_none_is_refused(self):
        done = manage("check", check=False, OTEL_EXPORTER_OTLP_ENDPOINT="collector:4318")
        assert "OTEL_EXPORTER_OTLP_ENDPOINT is no address" in done.stderr


def test_a_collector_that_never_answers_holds_nobody_up(tmp_path):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with receiving(hangs=True) as collector:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}", "WEB_WORKERS": "1"}
        with running(tmp_path / "log", OTEL_BSP_SCHEDULE_DELAY="10", **variables) as server:
            assert {server.get("/no/such").status for _ in range(90)} == {404}
            assert eventually(lambda: collector.received)
            assert server.get("/no/such").status == 404
