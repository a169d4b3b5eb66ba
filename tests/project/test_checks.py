import pytest
from django.core.checks import run_checks

import saas.urls  # noqa: F401 - as development loads it, before a test says that this is production
from saas.checks import SETTINGS

GOOD = {
    "IS_DEVELOPMENT": False,
    "DEBUG": False,
    "SECRET_KEY": "m3Yx8qPz0rT5vW2kL9nB4cD7fG1hJ6sA-oIuEyQwRtZxCvBnM_K",
    "PUBLIC_URL": "https://app.example.com",
    "ALLOWED_HOSTS": ["app.example.com"],
    "BCRYPT_ROUNDS": 12,
    "EMAIL_BACKEND": "anymail.backends.sendgrid.EmailBackend",
    "ANYMAIL": {"SENDGRID_API_KEY": "key"},
    "STRIPE_API_BASE": "https://api.stripe.com",
    "STRIPE_SECRET_KEY": "sk_live_of_stripe",
    "STRIPE_WEBHOOK_SECRETS": ["whsec_of_stripe"],
    # The tests run in development, where saas.urls has the mail catcher's pages.
    "ROOT_URLCONF": "accounts.urls",
    "SECURE_SSL_REDIRECT": True,
    "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
}
UNSAFE = [
    ("saas.E001", "SECRET_KEY", "x"),
    ("saas.E001", "SECRET_KEY", "m3Yx8qPz0rT5vW2kL9nB4cD7fG1hJ6sA-oIuEyQwRtZxCvBnM"),
    ("saas.E001", "SECRET_KEY", "ab" * 40),
    ("saas.E001", "SECRET_KEY", "change-me-" + "m3Yx8qPz0rT5vW2kL9nB4cD7fG1hJ6sAoIuEyQwRtZxCvBnM"),
    ("saas.E001", "SECRET_KEY", "django-insecure-" + "m3Yx8qPz0rT5vW2kL9nB4cD7fG1hJ6sAoIuEyQwRtZxCvBnM"),
    ("saas.E002", "PUBLIC_URL", "http://app.example.com"),
    ("saas.E003", "ALLOWED_HOSTS", ["app.example.com", "*"]),
    ("saas.E004", "BCRYPT_ROUNDS", 11),
    ("saas.E005", "EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend"),
    ("saas.E005", "EMAIL_BACKEND", "django.core.mail.backends.filebased.EmailBackend"),
    ("saas.E005", "EMAIL_BACKEND", "django.core.mail.backends.locmem.EmailBackend"),
    ("saas.E006", "DEBUG", True),
    ("saas.E007", "ROOT_URLCONF", "saas.urls"),
    ("billing.E001", "STRIPE_API_BASE", "http://127.0.0.1:12111"),
    ("billing.E004", "STRIPE_SECRET_KEY", "sk_test_standin"),
    ("billing.E004", "STRIPE_WEBHOOK_SECRETS", ["whsec_of_stripe", "whsec_standin"]),
    ("saas.W001", "SECURE_PROXY_SSL_HEADER", None),
    ("saas.W002", "ANYMAIL", {"SENDGRID_API_KEY": ""}),
]


def found(settings, **changes):
    for name, value in {**GOOD, **changes}.items():
        setattr(settings, name, value)
    return [message.id for message in run_checks(tags=[SETTINGS])]


class TestCheckSettings:
    def test_a_right_environment_is_clean(self, settings):
        assert found(settings) == []

    @pytest.mark.parametrize(("id", "name", "value"), UNSAFE)
    def test_it_refuses(self, settings, id, name, value):
        assert found(settings, **{name: value}) == [id]

    @pytest.mark.parametrize(("id", "name", "value"), UNSAFE)
    def test_development_may(self, settings, id, name, value):
        assert found(settings, IS_DEVELOPMENT=True, **{name: value}) == []

    def test_every_message_has_a_hint(self, settings):
        for _, name, value in UNSAFE:
            found(settings, **{name: value})
            assert all(message.hint for message in run_checks(tags=[SETTINGS]))
