"""Grafana's dashboards ask for what exists, in PromQL that Prometheus reads."""

import json
import re
import subprocess

import pytest
import yaml
from django.conf import settings

from tests.project.test_alerts import RULES, needs_promtool, series

FOLDER = settings.BASE_DIR / "deploy" / "grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
RECORDED = {
    rule["record"] for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"] if "record" in rule
}


def queries(board):
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_there_are_two():
    assert set(BOARDS) == {"background", "requests"}


@pytest.mark.parametrize("name", BOARDS)
class TestBoard:
    def test_its_metrics_exist(self, name):
        text = "\n".join(queries(BOARDS[name]))
        assert set(re.findall(r"\b(?:saas|django)_\w+", text)) <= series()
        assert set(re.findall(r"\bsaas:[\w:]+", text)) <= RECORDED

    @needs_promtool
    def test_prometheus_reads_its_queries(self, name, tmp_path):
        rules = [
            {"record": f"query:{number}", "expr": query} for number, query in enumerate(queries(BOARDS[name]))
        ]
        file = tmp_path / "rules.yml"
        file.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": rules}]}))
        result = subprocess.run(
            ["promtool", "check", "rules", file], capture_output=True, text=True, timeout=60
        )
        assert result.returncode == 0, result.stderr
        assert f"{len(rules)} rules found" in result.stdout

    def test_its_panels_have_names_and_places_of_their_own(self, name):
        panels = BOARDS[name]["panels"]
        for key in ("id", "title", "gridPos"):
            assert len({str(panel[key]) for panel in panels}) == len(panels)

    def test_its_source_is_the_provisioned_one(self, name):
        [source] = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "prometheus.yml").read_text())[
            "datasources"
        ]
        assert {panel["datasource"]["uid"] for panel in BOARDS[name]["panels"]} == {source["uid"]}
