"""Documents are compared with the code that they describe."""

import re

import pytest
from django.conf import settings
from django.core.management import get_commands

ROOT = settings.BASE_DIR
DOCS = ROOT / "docs"
OUR_APPS = ("saas", "accounts", "billing", "support", "tenancy")
READ = re.compile(r'\b(?:env|environment)\.(?:text|boolean|integer|choice|words)\(\s*"([A-Z_]+)"')
METRIC = re.compile(r'\b(Counter|Gauge|Histogram|GaugeMetricFamily)\(\s*"(saas_\w+)"')
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
MARKDOWN = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
CROSSINGS = """
    SELECT 'tenancy.' || proname, pg_get_userbyid(proowner)::text FROM pg_proc
    WHERE pronamespace = 'tenancy'::regnamespace
    UNION ALL
    SELECT policyname, role::text FROM pg_policies, unnest(roles) AS role
    WHERE schemaname = 'public' AND role NOT IN ('saas_app', 'saas_lookup')
"""


def sources():
    """Of what runs in production; the launcher is for development."""
    for folder in ("saas", "tenancy", "accounts", "billing", "support", "deploy"):
        for path in (ROOT / folder).rglob("*.py"):
            if "launcher" not in path.parts:
                yield path.read_text()


def first_column(text):
    return "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("|"))


def documented_settings():
    table = (DOCS / "operations.md").read_text().partition("## Settings")[2]
    return set(re.findall(r"`([A-Z_]+)`", first_column(table)))


def test_every_setting_is_documented_and_the_reverse():
    read = {name for source in sources() for name in READ.findall(source)}
    assert "SECRET_KEY" in read
    assert documented_settings() == read | set(settings.DATABASE_ROLES.values())


def test_the_example_names_settings_alone():
    text = (ROOT / ".env.example").read_text()
    names = set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))
    assert {"SECRET_KEY", "DATABASE_URL", "TENANCY_CONTEXT_KEYS"} <= names
    assert names <= documented_settings()


def test_every_command_is_documented_and_the_reverse():
    table = (DOCS / "operations.md").read_text().partition("## Commands")[2].partition("## Settings")[0]
    ours = {name for name, app in get_commands().items() if app in OUR_APPS}
    assert ours == set(re.findall(r"`(\w+)`", first_column(table)))


def test_every_metric_is_documented_and_the_reverse():
    exported = {
        f"{name}_total" if kind == "Counter" else name
        for source in sources()
        for kind, name in METRIC.findall(source)
    }
    assert "saas_logins_total" in exported
    table = first_column((DOCS / "monitoring.md").read_text())
    assert exported == set(re.findall(r"`(saas_\w+)`", table))


def test_what_crosses_organizations_is_documented_and_the_reverse(owner_connection):
    table = (DOCS / "tenancy.md").read_text().partition("## What crosses")[2].partition("\n## ")[0]
    documented = set()
    for line in table.splitlines():
        if line.startswith("|"):
            _, _, role, through, _ = line.split("|")
            documented |= {(name, role.strip()) for name in re.findall(r"`([\w.]+)`", through)}
    assert documented == set(owner_connection.execute(CROSSINGS).fetchall())


def test_every_dependency_has_its_reason():
    text = (DOCS / "dependencies.md").read_text()
    for file in ROOT.glob("requirements*.txt"):
        for name in re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==", file.read_text(), re.MULTILINE):
            assert f"| {name} |" in text, name


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target in LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", sorted(DOCS.glob("adr/*.md")), ids=lambda path: path.stem)
def test_a_decision_has_all_its_parts(path):
    text = path.read_text()
    for part in ("Context.", "Decision.", "Consequences.", "Enforced by"):
        assert f"**{part}**" in text, part
    assert text.startswith(f"# {int(path.name[:4])}. ")


@pytest.mark.parametrize("path", sorted(DOCS.glob("adr/*.md")), ids=lambda path: path.stem)
def test_what_enforces_a_decision_exists(path):
    enforced = path.read_text().partition("**Enforced by**")[2]
    for target in re.findall(r"\b[\w./]+\.(?:py|md|lua)\b", enforced):
        assert (ROOT / target).exists(), target
