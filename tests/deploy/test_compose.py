"""docker-compose.yml keeps to what containers may do. That it runs is tried by python -m tests.deploy.compose."""

import re
import subprocess
import sys

import pytest
import yaml
from django.conf import settings

from tests.project.test_documents import documented_settings

ROOT = settings.BASE_DIR
PLAN = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = PLAN["services"]
EDGE = yaml.safe_load((ROOT / "deploy" / "compose" / "edge.yml").read_text())["services"]
LASTING = {name: service for name, service in SERVICES.items() if service["restart"] != "no"}
OWNERS = {"owner_database_url", "bootstrap_database_url", "postgres_password"}
SECRET = re.compile("SECRET|KEY|TOKEN|PASSWORD|_URL")
MADE_BY_IMAGES = ("GF_", "POSTGRES_", "PGDATA")


@pytest.mark.parametrize("name", SERVICES)
class TestService:
    def test_it_may_do_nothing_that_it_need_not(self, name):
        service = SERVICES[name]
        assert service["cap_drop"] == ["ALL"]
        assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "nginx" else [])
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert any(each.startswith("/tmp:") for each in service["tmpfs"])
        assert "privileged" not in service
        assert "network_mode" not in service

    def test_it_has_limits(self, name):
        assert {"mem_limit", "pids_limit"} <= SERVICES[name].keys()

    def test_it_is_nobody_but_its_own_user(self, name):
        # The platform's image names its own: deploy/Dockerfile.
        assert "user" in SERVICES[name] or "dockerfile" in SERVICES[name]["build"]
        assert not str(SERVICES[name].get("user", "10001")).startswith("0")

    def test_it_publishes_nothing(self, name):
        assert "ports" not in SERVICES[name]

    def test_its_image_is_pinned(self, name):
        image = SERVICES[name]["image"]
        assert "build" in SERVICES[name] or re.fullmatch(r"\$\{\w+:-[\w/]+:v?\d+\.\d+[\w.-]*\}", image)

    def test_its_settings_exist_and_its_secrets_come_from_files(self, name):
        given = SERVICES[name].get("environment", {})
        ours = {key for key in given if not key.startswith(MADE_BY_IMAGES)}
        assert {key.removesuffix("_FILE") for key in ours} <= documented_settings()
        mounted = {f"/run/secrets/{secret}" for secret in SERVICES[name].get("secrets", [])}
        assert {value for value in given.values() if str(value).startswith("/run/secrets/")} <= mounted
        secret = {key for key in given if SECRET.search(key)} - {"PUBLIC_URL", "GF_SERVER_ROOT_URL"}
        assert all(key.endswith("_FILE") for key in secret)


@pytest.mark.parametrize("name", LASTING)
def test_what_runs_on_is_watched(name):
    assert "test" in LASTING[name]["healthcheck"]
    assert LASTING[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["web", "worker", "nginx", "redis", "prometheus", "grafana"])
def test_who_serves_has_no_key_of_the_owner(name):
    assert not OWNERS & set(SERVICES[name].get("secrets", []))


def test_only_nginx_is_reached_and_in_development_by_this_machine_alone():
    assert EDGE.keys() == {"development", "staging", "production"}
    assert SERVICES["nginx"]["extends"]["service"] == "${DEPLOYMENT_ENV:-development}"
    assert all(port.startswith("127.0.0.1:") for port in EDGE["development"]["ports"])
    for name in ("staging", "production"):
        public = [port for port in EDGE[name]["ports"] if not port.startswith("127.0.0.1:")]
        assert public == ["${HTTP_PORT:-80}:80", "${HTTPS_PORT:-443}:443"]


def test_the_inside_reaches_nobody():
    assert PLAN["networks"]["inside"] == {"internal": True}
    for name in ("database", "redis", "setup", "prometheus", "grafana"):
        assert SERVICES[name]["networks"] == ["inside"]


def test_web_and_worker_wait_for_the_migrations():
    for name in ("web", "worker"):
        assert SERVICES[name]["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}


def test_who_waits_at_a_web_worker_that_ends_is_handed_to_another():
    assert SERVICES["web"]["sysctls"] == {"net.ipv4.tcp_migrate_req": "1"}


def test_the_profiles():
    profiles = {name: service["profiles"] for name, service in SERVICES.items()}
    assert {name for name, each in profiles.items() if each == ["monitoring"]} == {"prometheus", "grafana"}
    assert {name for name, each in profiles.items() if each == ["tools"]} == {"tools"}
    assert profiles["web"] == profiles["database"] == profiles["nginx"] == ["saas"]


class TestSecrets:
    @pytest.fixture
    def made(self, tmp_path):
        folder = tmp_path / "secrets"
        self.make(folder)
        return folder

    def make(self, folder):
        command = [sys.executable, ROOT / "deploy" / "compose" / "make_secrets.py", folder]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def test_each_that_is_mounted_is_made(self, made):
        assert {path.name for path in made.iterdir()} == PLAN["secrets"].keys()
        assert {plan["file"].rpartition("/")[2] for plan in PLAN["secrets"].values()} == PLAN[
            "secrets"
        ].keys()

    def test_nobody_else_gets_past_the_directory(self, made):
        made.chmod(0o755)
        self.make(made)
        assert made.stat().st_mode & 0o777 == 0o700

    def test_they_are_not_told_and_stay(self, made):
        before = {path.name: path.read_text() for path in made.iterdir()}
        told = self.make(made)
        assert {path.name: path.read_text() for path in made.iterdir()} == before
        assert not any(value in told for value in before.values() if value)
        assert len({value for value in before.values() if value}) == len(
            [value for value in before.values() if value]
        )
        assert "tls_key" in told
