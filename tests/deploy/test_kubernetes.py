"""The manifests are what Kubernetes takes, give nothing away, and set what the settings read."""

import os
import re
import subprocess
import sys
from copy import deepcopy

import kubernetes_validate
import pytest
import yaml
from django.conf import settings

from tests.deploy.kustomize import pod, resolve, workloads
from tests.deploy.pod_rules import broken_rules
from tests.project.test_documents import documented_settings

FOLDER = settings.BASE_DIR / "deploy" / "kubernetes"
OVERLAYS = {name: resolve(FOLDER / "overlays" / name) for name in ("staging", "production")}
MANIFESTS = [
    pytest.param(manifest, id=f"{overlay}-{manifest['kind']}-{manifest['metadata']['name']}")
    for overlay, manifests in OVERLAYS.items()
    for manifest in manifests
]
PODS = [
    pytest.param(manifest, id=f"{overlay}-{manifest['metadata']['name']}")
    for overlay, manifests in OVERLAYS.items()
    for manifest in workloads(manifests)
]
DOCUMENT = (settings.BASE_DIR / "docs" / "kubernetes.md").read_text()
EVERY_PROCESS = {
    "DEPLOYMENT_ENV",
    "SECRET_KEY",
    "PUBLIC_URL",
    "ALLOWED_HOSTS",
    "DATABASE_URL",
    "TENANCY_CONTEXT_KEYS",
}
SERVING = EVERY_PROCESS | {
    "REDIS_URL",
    "JWT_KEYS_DIR",
    "TRUSTED_PROXY_COUNT",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
}
REQUIRED = {
    "web": SERVING
    | {"HOST", "PORT", "METRICS_TOKEN", "DATABASE_PREPARED_STATEMENTS", "SUPPORT_DATABASE_URL"},
    "worker": SERVING
    | {"WORKER_DATABASE_URL", "SENDGRID_API_KEY", "WORKER_METRICS_HOST", "WORKER_METRICS_PORT"},
    "migrate": EVERY_PROCESS | {"OWNER_DATABASE_URL"},
}
FOREIGN = {
    "web": {"OWNER_DATABASE_URL", "WORKER_DATABASE_URL", "BOOTSTRAP_DATABASE_URL"},
    "worker": {
        "OWNER_DATABASE_URL",
        "SUPPORT_DATABASE_URL",
        "BOOTSTRAP_DATABASE_URL",
        "DATABASE_PREPARED_STATEMENTS",
    },
    "migrate": {"SUPPORT_DATABASE_URL", "WORKER_DATABASE_URL", "BOOTSTRAP_DATABASE_URL"},
}


def production(kind, name):
    (found,) = [m for m in OVERLAYS["production"] if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return deepcopy(found)


def validate(manifest):
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def documented_secrets():
    """What the document tells to put into each Secret."""
    secrets = {}
    for name, body in re.findall(r"create secret generic (\S+) ((?:.*\\\n)*.*)", DOCUMENT):
        secrets[name] = dict(re.findall(r"--from-literal=([A-Z_]+)='([^']*)'", body))
    return secrets


def environment(manifest, manifests):
    """The variables of a workload's container, with secrets as in the document."""
    (container,) = pod(manifest)["containers"]
    values = {}
    for source in container["envFrom"]:
        (config,) = [
            each["data"]
            for each in manifests
            if (each["kind"], each["metadata"]["name"]) == ("ConfigMap", source["configMapRef"]["name"])
        ]
        values.update(config)
    for variable in container["env"]:
        values[variable["name"]] = variable.get("value") or _secret(variable)
    return values


def _secret(variable):
    reference = variable["valueFrom"]["secretKeyRef"]
    assert reference["key"] == variable["name"]
    value = documented_secrets()[reference["name"]][reference["key"]]
    return "0" * 64 if value == "64-hexadecimal-digits" else value


def overlay_of(manifest):
    (manifests,) = [each for each in OVERLAYS.values() if any(m is manifest for m in each)]
    return manifests


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_a_manifest_fits_its_schema(manifest):
    validate(manifest)


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("Deployment", "web", ["spec", "template", "spec", "containers", 0, "securityContext"]),
        ("Deployment", "worker", ["spec", "template", "spec"]),
        ("Job", "migrate", ["spec"]),
        ("NetworkPolicy", "web", ["spec"]),
        ("HorizontalPodAutoscaler", "web", ["spec"]),
    ],
)
def test_a_misspelt_field_is_refused(kind, name, path):
    manifest = production(kind, name)
    target = manifest
    for step in path:
        target = target[step]
    target["readOnlyRootFileSystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFileSystem"):
        validate(manifest)


@pytest.mark.parametrize("manifest", PODS)
def test_a_pod_is_not_privileged(manifest):
    assert broken_rules(pod(manifest)) == []


@pytest.mark.parametrize(
    ("rule", "where", "value"),
    [
        ("no service account token", "automountServiceAccountToken", True),
        ("no host network", "hostNetwork", True),
        ("no host processes", "hostPID", True),
        ("no host IPC", "hostIPC", True),
        ("not root", "securityContext.runAsNonRoot", False),
        ("not root", "securityContext.runAsUser", 0),
        ("seccomp", "securityContext.seccompProfile.type", "Unconfined"),
        ("seccomp", "containers.0.securityContext.seccompProfile", {"type": "Unconfined"}),
        ("not root", "containers.0.securityContext.runAsUser", 0),
        ("not privileged", "containers.0.securityContext.privileged", True),
        ("no escalation", "containers.0.securityContext.allowPrivilegeEscalation", True),
        ("read-only root", "containers.0.securityContext.readOnlyRootFilesystem", False),
        ("no capabilities", "containers.0.securityContext.capabilities.drop", ["NET_RAW"]),
        ("no capabilities", "containers.0.securityContext.capabilities.add", ["SYS_ADMIN"]),
        ("no host ports", "containers.0.ports", [{"containerPort": 8000, "hostPort": 8000}]),
        ("bounded", "containers.0.resources", {}),
        ("pinned image", "containers.0.image", "saas:latest"),
        ("pinned image", "containers.0.image", "saas"),
        ("harmless volumes", "volumes", [{"name": "tmp", "hostPath": {"path": "/"}}]),
        ("writable /tmp", "containers.0.volumeMounts", []),
        ("not root", "initContainers", [{"name": "first", "securityContext": {"runAsUser": 0}}]),
    ],
)
def test_each_rule_finds_what_breaks_it(rule, where, value):
    spec = pod(production("Deployment", "web"))
    *path, last = where.split(".")
    target = spec
    for step in path:
        target = target[int(step)] if step.isdigit() else target[step]
    target[last] = value
    assert rule in broken_rules(spec)


@pytest.mark.parametrize("manifest", PODS)
def test_variables_are_settings_and_the_required_ones_are_set(manifest):
    names = set(environment(manifest, overlay_of(manifest)))
    process = manifest["metadata"]["name"]
    assert names - {"PROMETHEUS_MULTIPROC_DIR", "PGOPTIONS"} <= documented_settings()
    assert REQUIRED[process] <= names
    assert not FOREIGN[process] & names


@pytest.mark.parametrize("manifest", PODS)
def test_the_settings_take_the_environment(manifest, tmp_path):
    variables = environment(manifest, overlay_of(manifest))
    variables["PATH"] = os.environ["PATH"]
    mounts = {each["mountPath"] for each in pod(manifest)["containers"][0]["volumeMounts"]}
    for name in {"JWT_KEYS_DIR", "PROMETHEUS_MULTIPROC_DIR"} & set(variables):
        if variables[name] in mounts:
            variables[name] = str(tmp_path)
    if variables["JWT_KEYS_DIR"] == str(tmp_path):
        manage(variables, "jwt_keys", "generate")
        manage(variables, "check")
    else:
        assert "--skip-checks" in pod(manifest)["containers"][0]["command"]
        manage(variables, "check", "--tag", "models")


def manage(variables, *arguments):
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(
        command, cwd=settings.BASE_DIR, env=variables, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_pod_outlives_its_requests():
    gunicorn = (settings.BASE_DIR / "deploy" / "gunicorn.conf.py").read_text()
    graceful = int(re.search(r"^graceful_timeout = (\d+)$", gunicorn, re.MULTILINE)[1])
    spec = pod(production("Deployment", "web"))
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > pause + graceful


def test_selectors_probes_and_policies_meet_their_pods():
    for name, port in {"web": 8000, "worker": 9100}.items():
        deployment, service = production("Deployment", name), production("Service", name)
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        (container,) = pod(deployment)["containers"]
        assert service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]
        assert production("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels
        policy = production("NetworkPolicy", name)["spec"]
        assert policy["podSelector"]["matchLabels"] == labels
        assert [each["port"] for each in policy["ingress"][0]["ports"]] == [port]
        assert [each["containerPort"] for each in container["ports"]] == [port]
        assert [each["port"] for each in service["spec"]["ports"]] == [port]
        assert container["livenessProbe"]["httpGet"]["port"] == container["ports"][0]["name"]
    probes = pod(production("Deployment", "web"))["containers"][0]
    assert probes["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert probes["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_prometheus_finds_the_same_ports():
    text = (settings.BASE_DIR / "deploy" / "prometheus" / "prometheus.yml").read_text()
    targets = {
        found["names"][0]: found["port"]
        for job in yaml.safe_load(text)["scrape_configs"]
        for found in job["dns_sd_configs"]
    }
    for name, port in targets.items():
        annotations = production("Deployment", name)["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(port)
        assert (annotations["prometheus.io/scrape"], annotations["prometheus.io/path"]) == (
            "true",
            "/metrics",
        )


def test_what_is_not_known_of_kustomize_is_refused(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("resources: []\nconfigMapGenerator: []\n")
    with pytest.raises(ValueError, match="configMapGenerator"):
        resolve(tmp_path)
