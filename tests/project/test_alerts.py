"""Prometheus' rules fire when they should, are silent when they should, and speak of what exists."""

import re
import shutil
import subprocess

import pytest
import yaml
from django.conf import settings
from django.urls import get_resolver
from procrastinate.contrib.django import app

from tests.project.test_documents import METRIC, sources

FOLDER = settings.BASE_DIR / "deploy" / "prometheus"
RULES = (FOLDER / "rules.yml").read_text()
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES)["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
TESTS = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
KEPT = {
    "django_http_requests_latency_seconds_by_view_method_bucket",
    "django_http_responses_total_by_status_view_method_total",
}
SUFFIXES = {
    "Counter": ["_total"],
    "Gauge": [""],
    "GaugeMetricFamily": [""],
    "Histogram": ["_bucket", "_sum", "_count"],
}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def series():
    """The names under which our metrics are scraped."""
    return KEPT | {
        name + suffix
        for text in sources()
        for kind, name in METRIC.findall(text)
        for suffix in SUFFIXES[kind]
    }


def promtool(*arguments, folder=FOLDER):
    return subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


def selected(label):
    """What the rules ask of a label, alternatives apart."""
    found = re.findall(rf'\b{label}[=!]~?"([^"]+)"', RULES)
    return {name for pattern in found for name in pattern.split("|") if not name.endswith(".*")}


class TestRules:
    @needs_promtool
    def test_they_fire_and_are_silent_as_they_should(self):
        assert promtool("check", "rules", "rules.yml").returncode == 0
        result = promtool("test", "rules", "rules_test.yml")
        assert result.returncode == 0, result.stderr

    @needs_promtool
    @pytest.mark.parametrize("expression", ["vector(1) > 2", "vector(1)"])
    def test_one_that_never_fires_or_always_does_is_noticed(self, expression, tmp_path):
        shutil.copy(FOLDER / "rules_test.yml", tmp_path)
        rules = yaml.safe_load(RULES)
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            if "alert" in rule:
                rule["expr"] = expression
        (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
        result = promtool("test", "rules", "rules_test.yml", folder=tmp_path)
        assert result.returncode == 1
        noticed = set(re.findall(r"alertname: (\w+),", result.stdout + result.stderr))
        assert noticed == ALERTS.keys()

    def test_each_has_a_series_that_fires_it_and_is_watched_on_healthy_ones(self):
        fired = {test["name"] for test in TESTS} - {"healthy"}
        quiet = {
            case["alertname"]
            for test in TESTS
            if test["name"] == "healthy"
            for case in test["alert_rule_test"]
        }
        assert fired == quiet == set(ALERTS)

    @pytest.mark.parametrize("alert", ALERTS)
    def test_each_has_its_runbook(self, alert):
        assert ALERTS[alert]["labels"]["runbook"] == f"docs/runbooks/{alert}.md"
        text = (settings.BASE_DIR / "docs" / "runbooks" / f"{alert}.md").read_text()
        assert text.startswith(f"# {alert}\n")
        assert "## Look" in text
        assert "## Do" in text

    def test_no_runbook_is_left_over(self):
        assert {path.stem for path in (settings.BASE_DIR / "docs" / "runbooks").glob("*.md")} == set(ALERTS)


class TestNames:
    def test_metrics_exist(self):
        asked = set(re.findall(r"\b(?:saas|django)_\w+", RULES))
        assert "saas_context_missing_total" in asked
        assert asked <= series()

    def test_views_exist(self):
        names = {name for name in get_resolver().reverse_dict if isinstance(name, str)}
        asked = selected("view")
        assert "login" in asked
        assert asked <= names

    def test_tasks_exist(self):
        asked = selected("task")
        assert "send_mail" in asked
        assert asked <= set(app.tasks)
