import json
import logging
import sys
from datetime import datetime
from types import SimpleNamespace

import pytest

from saas.kit import logs

JWT = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.fixture
def logger():
    """A logger with the filters and the formatter of the settings, which keeps its lines."""
    lines = []
    handler = logging.Handler()
    handler.setFormatter(logs.JsonFormatter())
    handler.addFilter(logs.ContextFilter())
    handler.addFilter(logs.RedactFilter())
    handler.emit = lambda record: lines.append(json.loads(handler.format(record)))
    logger = logging.Logger("example", logging.DEBUG)
    logger.addHandler(handler)
    logger.lines = lines
    return logger


@pytest.fixture
def context():
    caller = SimpleNamespace(user_id="u-1", organization_id="o-1")
    token = logs.current.set(SimpleNamespace(request_id="request-1", caller=caller))
    yield
    logs.current.reset(token)


class TestJsonFormatter:
    def test_a_line_says_when_what_and_whose(self, logger, context):
        logger.info("%s of %s", 3, 4, extra={"status": 200, "path": "/x"})
        (line,) = logger.lines
        assert datetime.fromisoformat(line.pop("time")).tzinfo
        assert line == {
            "level": "INFO",
            "logger": "example",
            "message": "3 of 4",
            "request_id": "request-1",
            "user_id": "u-1",
            "organization_id": "o-1",
            "status": 200,
            "path": "/x",
        }

    @pytest.mark.parametrize("text", ["Grüße\u2028\x9b31m", "half \ud800", "\x1b[31m\n"])
    def test_a_line_is_ascii_and_says_all(self, text):
        record = logging.makeLogRecord({"msg": text, "levelname": "INFO", "number": 2**70, "share": 0.5})
        line = logs.JsonFormatter().format(record)
        assert line.isascii()
        assert line.isprintable()
        found = json.loads(line)
        assert (found["message"], found["number"], found["share"]) == (text, 2**70, 0.5)

    @pytest.mark.parametrize("text", ["Grüße\u2028\x9b31m", "\x1b[31m\n"])
    def test_so_is_one_without_large_numbers(self, text):
        line = logs.JsonFormatter().format(logging.makeLogRecord({"msg": text}))
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["message"] == text

    def test_a_line_outside_a_request_has_no_ids(self, logger):
        logger.info("started")
        assert {logger.lines[0][name] for name in logs.IDS} == {"-"}

    def test_a_request_before_its_caller_is_known_has_just_its_id(self, logger):
        token = logs.current.set(SimpleNamespace(request_id="request-1", caller=None))
        logger.info("started")
        logs.current.reset(token)
        assert [logger.lines[0][name] for name in logs.IDS] == ["request-1", "-", "-"]

    def test_objects_are_left_out(self, logger):
        logger.info("x", extra={"request": object(), "job": {"email": "alice@example.com"}})
        assert not {"request", "job"} & logger.lines[0].keys()

    def test_an_extra_field_replaces_nothing(self, logger):
        logger.info("x", extra={"level": "forged", "time": "forged"})
        assert logger.lines[0]["level"] == "INFO"
        assert logger.lines[0]["time"] != "forged"

    def test_a_line_break_or_half_a_surrogate_pair_stays_one_line(self):
        record = logging.makeLogRecord({"msg": "a\nb\ud800"})
        assert "\n" not in logs.JsonFormatter().format(record)

    def test_it_shows_the_traceback(self, logger):
        try:
            raise ValueError("broken")
        except ValueError:
            logger.exception("failed")
        assert "ValueError: broken" in logger.lines[0]["exception"]


SECRET = "hunter2-Sup3r"
LINES = [
    f"token {JWT} refused",
    f"half a token {JWT[:30]}",
    f"Authorization: Bearer {SECRET}",
    f"{{'Authorization': 'Bearer {SECRET}'}}",
    f"('HTTP_AUTHORIZATION', 'Basic {SECRET}')",
    f"bearer {SECRET}",
    f"password={SECRET}&x=1",
    f'{{"password": "{SECRET}", "x": 1}}',
    f'{{"new_password": "a \\" {SECRET}"}}',
    f"{{'refresh_token': '{SECRET}'}}",
    f"SECRET_KEY={SECRET}",
    f"api-key: {SECRET}",
    f"postgres://saas_app:{SECRET}@db.example.com:5432/saas",
    f"postgres://saas_app:a/b@{SECRET}@db/saas",
    f"redis://:{SECRET}@cache:6379/0",
    f"connection failed: host=db user=saas_app password={SECRET} dbname=saas",
    f"Stripe-Signature: t=1492774577,v1={SECRET}",
    f"t=1,v1={'5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd'}",
    f"whsec_{SECRET.replace('-', '')}",
    "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    f"Cookie: sessionid={SECRET}; csrftoken={SECRET}",
    "bcrypt_sha256$$2b$12$" + "a" * 53,
    f"no such link: WyIwMGYzM2JhY2{SECRET}:{SECRET}",
    f"no such link: WyJhMGYzM2JhY2ZhNjM0{SECRET}:{SECRET}",
    f"csrf={SECRET}; session=.eJwlzEEOAjEIAMC{SECRET}:1xWtA1:{SECRET}",
    f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
]
PARTS = (SECRET, "Sup3r", "eyJ", "5257a869", "4eC39", "hunter2Sup3r", "aaaaaaaa")


class TestRedactFilter:
    @pytest.mark.parametrize("text", LINES)
    def test_no_secret_is_in_a_message(self, logger, text):
        logger.info(text.replace("%", "%%"))
        logger.info("%s", text)
        logger.info("said", extra={"said": text})
        assert not [part for part in PARTS if part in json.dumps(logger.lines)]
        assert json.dumps(logger.lines).count(logs.REDACTED) >= 3

    @pytest.mark.parametrize("text", LINES)
    def test_no_secret_is_in_a_traceback(self, logger, text):
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception("failed")
        assert "ValueError" in logger.lines[0]["exception"]
        assert not [part for part in PARTS if part in logger.lines[0]["exception"].partition("ValueError")[2]]

    def test_it_leaves_other_text_alone(self, logger):
        text = "GET /auth/login 200: 3 people, https://app.example.com/x@y, key 7, 12:30:00"
        logger.info(text)
        assert logger.lines[0]["message"] == text

    def test_arguments_that_do_not_fit_are_not_printed(self, logger, capsys):
        logger.info("%d people", SECRET)
        assert SECRET not in json.dumps(logger.lines) + capsys.readouterr().err

    def test_what_a_plain_formatter_prints_is_redacted_too(self):
        try:
            raise ValueError(f"password={SECRET}")
        except ValueError:
            record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
        logs.RedactFilter().filter(record)
        assert SECRET not in logging.Formatter().format(record).partition("ValueError: ")[2]

    @pytest.mark.parametrize(
        "text",
        [
            "a-" * 4000,
            "token" * 1600,
            "://a:" * 1600,
            "eyJ" * 2700,
            "WyJ:" * 2000,
            ".eJaaaaaa." * 800,
            "authorization:" * 600,
            "'\\" * 4000,
        ],
    )
    def test_hostile_lines_end(self, text):
        assert len(logs.redact(text)) <= 2 * len(text) * len(logs.REDACTED)
