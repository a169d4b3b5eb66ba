"""The mails of development, on pages that show them and believe nothing in them."""

import os
import re

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection
from django.test import Client

from tests.conftest import manage

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def directory(settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    return settings.EMAIL_FILE_PATH


def send(subject="Hello", text="Text", html=None, **fields):
    mail = EmailMultiAlternatives(subject, text, "no-reply@example.com", ["ada@example.com"], **fields)
    if html:
        mail.attach_alternative(html, "text/html")
    mail.send()


def get(path="/dev/mail", **extra):
    return Client().get(path, **extra)


def links():
    return re.findall(r'<a href="(/dev/mail/[^"]+)"', get().text)


def newest():
    return links()[0]


class TestList:
    def test_it_shows_what_was_sent_with_the_newest_first(self, directory):
        send("The first")
        (first,) = directory.iterdir()
        os.utime(first, (1_700_000_000, 1_700_000_000))
        send("Zweite Nachricht: Größe")
        page = get().text
        assert 0 < page.index("Zweite Nachricht: Größe") < page.index("The first")
        assert "ada@example.com" in page
        assert "14 Nov 2023, 22:13:20 UTC" in page

    def test_it_says_what_to_do_while_there_is_none(self):
        page = get()
        assert page.status_code == 200
        assert "Register an organization" in page.text

    def test_it_tells_mails_in_one_file_apart(self):
        connection = get_connection()
        rule = f"above\n{'-' * 79}\nbelow\n"
        connection.send_messages(
            [EmailMessage(each, rule, to=["ada@example.com"]) for each in ("One", "Two")]
        )
        connection.close()
        assert [get(link).text.count("below") for link in links()] == [1, 1]
        assert get().text.index("Two") < get().text.index("One")

    def test_it_waits_for_the_end_of_a_mail_that_is_being_written(self, directory):
        send()
        (file,) = directory.iterdir()
        file.write_bytes(file.read_bytes()[:-40])
        assert links() == []

    def test_it_passes_over_what_no_mail_is(self, directory):
        directory.mkdir()
        (directory / "notes.log").write_text("Subject: mine\n\n\n" + "-" * 79 + "\n")
        assert links() == []

    def test_it_escapes(self):
        send(SCRIPT, html="<p>x</p>")
        assert SCRIPT not in get().text
        assert "&lt;script&gt;" in get().text


class TestMail:
    def test_it_shows_the_text_with_its_links(self):
        send(text=f"Open https://example.com/a?b=1&c=2 or {SCRIPT}")
        page = get(newest()).text
        assert '<a href="https://example.com/a?b=1&amp;c=2"' in page
        assert SCRIPT not in page
        assert "<iframe" not in page

    def test_it_frames_the_html_without_any_right(self):
        send(html="<html><head></head><body><p>Hi</p></body></html>")
        page = get(newest())
        assert f'src="{newest()}/html" sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
        assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
        assert "script" not in page.headers["Content-Security-Policy"]

    def test_it_takes_a_mail_without_a_subject(self):
        send(subject="")
        assert "(no subject)" in get(newest()).text


class TestHtml:
    def test_it_is_the_mails_own_and_may_do_nothing(self):
        send(html=f"<html><head></head><body>{SCRIPT}<p>Hi</p></body></html>")
        html = get(f"{newest()}/html")
        assert "<p>Hi</p>" in html.text
        assert '<base target="_blank">' in html.text
        policy = html.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "sandbox allow-popups" in policy
        assert "allow-scripts" not in policy
        assert "frame-ancestors 'self'" in policy
        assert html.headers["X-Frame-Options"] == "SAMEORIGIN"

    def test_a_mail_of_text_alone_has_none(self):
        send()
        assert get(f"{newest()}/html").status_code == 404


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%2fetc%2fpasswd",
        "20261124-125552-140-9",
        "20261124-125552-140-0%00",
        "20261124-125552-140-0%0a",
        "٢٠261124-125552-140-0",
        "20261124-125552-140-x",
        "secret-0",
        "99999999-999999-9-0",
    ],
)
def test_a_name_of_no_mail_is_not_found(directory, name):
    directory.mkdir()
    mail = b"Content-Type: text/plain\n\nx\n" + b"-" * 79 + b"\n"
    (directory / "20261124-125552-140.log").write_bytes(mail)
    (directory / "secret.log").write_bytes(mail)
    assert get("/dev/mail/20261124-125552-140-0").status_code == 200
    for path in (f"/dev/mail/{name}", f"/dev/mail/{name}/html"):
        answer = get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestWhoMayRead:
    def test_another_machine_finds_nothing(self):
        send()
        for path in ("/dev/mail", newest(), f"{newest()}/html"):
            assert get(path, REMOTE_ADDR="192.0.2.7").status_code == 404
            assert get(path, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404

    def test_it_can_be_read_alone(self):
        assert Client().post("/dev/mail").status_code == 405

    def test_outside_development_there_is_no_such_page(self):
        resolving = "from django.urls import resolve; resolve('/docs'); resolve('/dev/mail')"
        refused = manage("shell", "-c", resolving, check=False, DEPLOYMENT_ENV="production")
        assert "Resolver404" in refused.stderr
        assert "'/docs'" not in refused.stderr
        found = manage("shell", "-c", resolving, check=False)
        assert found.returncode == 0, found.stderr
