"""Documents are compared with the code that they describe."""

import re

from django.conf import settings
from django.core.management import get_commands

DOCS = settings.BASE_DIR / "docs"
READ = re.compile(r'env\.(?:text|boolean|integer|choice|words)\(\s*"([A-Z_]+)"')


def test_every_setting_is_documented_and_the_reverse():
    source = (settings.BASE_DIR / "saas" / "settings.py").read_text()
    read = set(READ.findall(source)) | set(settings.DATABASE_ROLES.values())
    table = (DOCS / "operations.md").read_text().partition("## Settings")[2]
    documented = set(
        re.findall(
            r"`([A-Z_]+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if "|" in line)
        )
    )
    assert documented == read


def test_every_command_is_documented():
    text = (DOCS / "operations.md").read_text()
    for name, app in get_commands().items():
        if app in ("accounts", "tenancy"):
            assert f"| `{name}` |" in text, name


def test_every_dependency_has_its_reason():
    text = (DOCS / "dependencies.md").read_text()
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-embedded.txt"):
        for name in re.findall(
            r"^([\w.-]+)(?:\[[\w,]+\])?==", (settings.BASE_DIR / file).read_text(), re.MULTILINE
        ):
            assert f"| {name} |" in text, name


def test_links_of_the_readme_lead_somewhere():
    text = (settings.BASE_DIR / "README.md").read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (settings.BASE_DIR / target).exists(), target
