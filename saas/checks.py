"""Settings that would be unsafe outside development: no command and no web worker starts with them."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.urls import NoReverseMatch, reverse

SETTINGS = "settings"

SECRET_KEY_LENGTH = 50
SECRET_KEY_CHARACTERS = 10
DEFAULT_LOOKING = ("insecure", "change", "default", "secret", "example", "password", "development")
BCRYPT_ROUNDS = 12
MAIL_GOES_NOWHERE = ("console", "filebased", "locmem", "dummy")


def check_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if settings.IS_DEVELOPMENT:
        return []
    return [message for is_wrong, message in CHECKS if is_wrong()]


def has_weak_secret_key() -> bool:
    key = settings.SECRET_KEY.lower()
    return (
        len(key) < SECRET_KEY_LENGTH
        or len(set(key)) < SECRET_KEY_CHARACTERS
        or key.startswith(DEFAULT_LOOKING)
        or "insecure" in key
    )


def mail_goes_nowhere() -> bool:
    return any(f".{name}." in settings.EMAIL_BACKEND for name in MAIL_GOES_NOWHERE)


def lacks_mail_key() -> bool:
    return "sendgrid" in settings.EMAIL_BACKEND and not settings.ANYMAIL.get("SENDGRID_API_KEY")


def shows_caught_mail() -> bool:
    try:
        reverse("mail_catcher")
    except NoReverseMatch:
        return False
    return True


CHECKS: list[tuple[Callable[[], bool], CheckMessage]] = [
    (
        has_weak_secret_key,
        Error(
            f"SECRET_KEY is shorter than {SECRET_KEY_LENGTH} characters or a placeholder.",
            hint="Make one with `openssl rand -base64 48`, and keep it: it signs what people hold.",
            id="saas.E001",
        ),
    ),
    (
        lambda: urlsplit(settings.PUBLIC_URL).scheme != "https",
        Error(
            "PUBLIC_URL is not https: links in mails and tokens would travel in the clear.",
            hint="Set PUBLIC_URL to the address that people open, such as https://app.example.com.",
            id="saas.E002",
        ),
    ),
    (
        lambda: "*" in settings.ALLOWED_HOSTS,
        Error(
            "ALLOWED_HOSTS holds '*': anybody's name for this server would be believed.",
            hint="Name the hosts, separated by commas: ALLOWED_HOSTS=app.example.com",
            id="saas.E003",
        ),
    ),
    (
        lambda: settings.BCRYPT_ROUNDS < BCRYPT_ROUNDS,
        Error(
            f"BCRYPT_ROUNDS is below {BCRYPT_ROUNDS}: stolen password hashes would be cheap to guess.",
            hint="Leave BCRYPT_ROUNDS unset.",
            id="saas.E004",
        ),
    ),
    (
        mail_goes_nowhere,
        Error(
            "EMAIL_BACKEND delivers no mail.",
            hint="Leave EMAIL_BACKEND unset for SendGrid, or name a backend that delivers.",
            id="saas.E005",
        ),
    ),
    (
        lambda: settings.DEBUG,
        Error(
            "DEBUG is on: error pages would show settings and data.", hint="Turn DEBUG off.", id="saas.E006"
        ),
    ),
    (
        shows_caught_mail,
        Error(
            "The mail catcher's pages are among the URLs: they show people's mail without a log-in.",
            hint="Add them to the URLs in development alone, as saas/urls.py does.",
            id="saas.E007",
        ),
    ),
    (
        lambda: settings.SECURE_SSL_REDIRECT and not settings.SECURE_PROXY_SSL_HEADER,
        Warning(
            "Requests are redirected to https for ever: no proxy is trusted to say that they came by it.",
            hint="Set TRUSTED_PROXY_COUNT to the number of proxies in front, or SECURE_SSL_REDIRECT=0.",
            id="saas.W001",
        ),
    ),
    (
        lacks_mail_key,
        Warning(
            "Mail goes through SendGrid, but SENDGRID_API_KEY is not set.",
            hint="Set SENDGRID_API_KEY, or SENDGRID_API_KEY_FILE; mail waits in the queue until then.",
            id="saas.W002",
        ),
    ),
]
