"""docker-compose.yml is brought up for real, walked through, hurt and brought down: python -m tests.deploy.compose

It needs Docker with compose, and root where no engine runs yet. Without PYTHON_IMAGE and its like in the environment it
makes stand-ins of Debian's packages, which needs debootstrap; the images that a registry would give are then untried.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.compose.engine import IMAGES, engine, make_standins

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ("database", "redis", "web", "worker", "nginx")
USERS = {"database": 999, "redis": 999, "web": 10001, "worker": 10001, "nginx": 101}
NET_BIND_SERVICE = 1 << 10
SECRETS = {
    "database": {"postgres_password"},
    "redis": {"redis_password"},
    "nginx": {"tls_certificate", "tls_key"},
}
# Nobody who serves requests or jobs has them.
OWNERS = {"owner_database_url", "bootstrap_database_url", "postgres_password"}
WALK = re.compile(r"```sh walk\n(.*?)```", re.DOTALL)
WORKERS = {"development": 1, "staging": 2, "production": 4}
PORTS = {"HTTP_PORT": "18000", "HTTPS_PORT": "18443", "GRAFANA_PORT": "18300"}


def say(text):
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def run(*command, check=True, **options):
    done = subprocess.run(command, text=True, capture_output=True, cwd=ROOT, **options)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def compose(*arguments, **options):
    return run(
        "docker", "compose", "--project-name", "saas-trial", "--profile", "saas", *arguments, **options
    )


def inside(service, command):
    return compose("exec", "-T", service, "sh", "-c", command)


def container(service):
    return json.loads(run("docker", "inspect", compose("ps", "-q", service).strip()))[0]


def is_healthy(service):
    state = container(service)["State"]
    return state["Running"] and state["Health"]["Status"] == "healthy"


def wait_for(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds} s\n{compose('logs', '--tail', '40')}")
        time.sleep(0.5)


def expect(is_so, what):
    if not is_so:
        raise SystemExit(f"NOT SO: {what}")


def make_secrets(folder):
    run(sys.executable, "deploy/compose/make_secrets.py", folder)
    key, certificate = folder / "tls_key", folder / "tls_certificate"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    run(*command, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate)
    key.chmod(0o644)
    (folder / "sendgrid_api_key").write_text("SG.of-nobody")


@contextmanager
def up(stage, folder):
    os.environ |= {"DEPLOYMENT_ENV": stage, "SECRETS_DIR": str(folder), **PORTS}
    url = f"http://localhost:{PORTS['HTTP_PORT']}"
    if stage != "development":
        url = f"https://localhost:{PORTS['HTTPS_PORT']}"
    os.environ |= {"PUBLIC_URL": url, "ALLOWED_HOSTS": "localhost"}
    try:
        if stage != "development":
            refused = compose("run", "--rm", "setup", check=False, stderr=None)
            expect("Applying" not in refused, "without a signing key nothing is set up")
            compose("run", "--rm", "--no-deps", "setup", "python", "manage.py", "jwt_keys", "generate")
        compose("up", "--detach", "--wait")
        say(f"{stage}: up, at {url}")
        yield url
    finally:
        compose("--profile", "monitoring", "down", "--volumes", "--timeout", "20")


def walk(url, certificate):
    """The README's steps, in a shell, with this address for theirs."""
    script = "".join(WALK.findall((ROOT / "README.md").read_text()))
    script = script.replace("http://localhost:8000", url)
    curl = f'set -e\ncurl() {{ command curl --cacert {certificate} --max-time 20 "$@"; echo; }}\n'
    answers = run("bash", "-c", curl + script)
    expect('"email":"ada@example.com"' in answers.replace(" ", ""), f"who I am is read: {answers}")
    expect('"code": "token_revoked"' in answers or '"status": 401' in answers, f"a log-out counts: {answers}")
    say("the README's walk-through works")


def look_inside(service, stage):
    status = dict(re.findall(r"^(\w+):\s+(\S+)", inside(service, "cat /proc/1/status"), re.MULTILINE))
    expect(int(status["Uid"]) == USERS[service], f"{service} runs as {USERS[service]}, not {status['Uid']}")
    expect(status["NoNewPrivs"] == "1", f"{service} gains no privileges")
    expect(int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, f"{service} has no capability")
    bound = NET_BIND_SERVICE if service == "nginx" else 0
    expect(int(status["CapBnd"], 16) == bound, f"{service} can get no capability: {status['CapBnd']}")
    written = inside(
        service, "for d in / /etc /usr /app /opt; do touch $d/x 2>/dev/null && echo $d; done; touch /tmp/x"
    )
    expect(not written.strip(), f"{service}'s root is read-only: {written}")
    mounted = set(inside(service, "ls /run/secrets 2>/dev/null || true").split())
    if service in SECRETS and (service != "nginx" or stage != "development"):
        expect(mounted == SECRETS[service], f"{service} has its secrets alone: {mounted}")
    if service != "database":
        expect(not mounted & OWNERS, f"{service} has no secret of the owner: {mounted}")
    details = container(service)
    limits = details["HostConfig"]
    expect(limits["Memory"] and limits["PidsLimit"], f"{service} has limits")
    ports = {port for port, hosts in details["NetworkSettings"]["Ports"].items() if hosts}
    expect(service == "nginx" or not ports, f"{service} publishes nothing: {ports}")


def kill(service, url, certificate):
    """Its first process is killed from outside, as the kernel would; everything is well again by itself."""
    before = container(service)
    os.kill(before["State"]["Pid"], 9)
    wait_for(
        lambda: container(service)["RestartCount"] > before["RestartCount"] and is_healthy(service),
        f"{service} is back",
    )
    wait_for(lambda: answers(url, certificate), f"the platform answers after {service} was killed")
    say(f"{service} was killed and came back")


def answers(url, certificate):
    body = '{"email": "ada@example.com", "password": "bernoulli numbers"}'
    command = ["curl", "-s", "--cacert", certificate, "--max-time", "10", f"{url}/auth/login"]
    return "access_token" in run(*command, "-H", "Content-Type: application/json", "-d", body, check=False)


def watch():
    """Prometheus reaches web with its token, and the worker. Grafana is left out: Debian has no package of it."""
    compose("--profile", "monitoring", "up", "--detach", "--wait", "prometheus")
    asked = "import urllib.request as r; print(r.urlopen('http://prometheus:9090/api/v1/targets').read().decode())"

    def health():
        targets = json.loads(inside("web", f'python -c "{asked}"'))["data"]["activeTargets"]
        return {(each["labels"]["job"], each["health"]) for each in targets}

    wait_for(
        lambda: health() == {("saas-web", "up"), ("saas-worker", "up")}, "Prometheus scrapes web and worker"
    )
    say("Prometheus scrapes web and worker")


def try_stage(stage, folder):
    certificate = folder / "tls_certificate"
    with up(stage, folder) as url:
        walk(url, certificate)
        for service in SERVICES:
            look_inside(service, stage)
        say("capabilities, users, read-only roots, secrets, limits and ports are as they should be")
        booted = compose("logs", "web").count("Booting worker")
        expect(booted == WORKERS[stage], f"{stage} has {WORKERS[stage]} web workers, not {booted}")
        metrics = inside(
            "web",
            "python -c \"import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/health/redis').read())\"",
        )
        say(f"{stage}: {booted} web workers; {metrics.strip()[:160]}")
        for service in SERVICES:
            kill(service, url, certificate)
        watch()
        compose("run", "--rm", "tools", "python", "manage.py", "backup", "backups")
        say("a backup was made and proven by a restore")
        compose("up", "--detach", "--wait")
        expect(answers(url, certificate), "a second `up` changes nothing")
    say(f"{stage}: brought down")


def main():
    stages = sys.argv[1:] or ["development", "production"]
    with engine(), tempfile.TemporaryDirectory(prefix="saas-secrets-") as folder:
        if not all(os.environ.get(name) for name in IMAGES):
            make_standins(say)
        os.environ["SAAS_IMAGE"] = "saas-trial"
        say("building the image")
        compose("--profile", "tools", "build")
        make_secrets(Path(folder))
        for stage in stages:
            try_stage(stage, Path(folder))
    say("all is well")


main()
