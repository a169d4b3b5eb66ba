"""A Docker engine, and images that stand in for a registry's."""

import os
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
IMAGES = {
    "PYTHON_IMAGE": "python",
    "POSTGRES_IMAGE": "postgres",
    "REDIS_IMAGE": "redis",
    "NGINX_IMAGE": "nginx",
    "PROMETHEUS_IMAGE": "prometheus",
}
PACKAGES = "python3,python3-venv,ca-certificates,postgresql-15,redis-server,nginx-light,curl"
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")


def docker(*arguments, **options):
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, **options)


@contextmanager
def engine():
    """The one that answers, or one of its own, which leaves nothing behind."""
    if docker("info").returncode == 0:
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="saas-docker-"))
    before = firewall()
    command = [
        "dockerd",
        "--data-root",
        folder / "data",
        "--exec-root",
        folder / "run",
        "--pidfile",
        folder / "pid",
    ]
    command += ["--host", f"unix://{folder}/socket", "--storage-driver", "overlay2"]
    os.environ["DOCKER_HOST"] = f"unix://{folder}/socket"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while docker("info").returncode:
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.5)
        yield
    finally:
        process.terminate()
        process.wait(60)
        subprocess.run(["iptables-restore"], input=before, text=True, check=True)
        subprocess.run(["ip", "link", "delete", "docker0"], capture_output=True)
        subprocess.run(["rm", "-rf", folder], check=True)


def firewall():
    return subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout


def make_standins(say):
    """Debian's packages in place of the official images, with this machine's certificates."""
    if docker("image", "inspect", "standin/base").returncode:
        say("making a base image with debootstrap, in two minutes or so")
        with tempfile.TemporaryDirectory(prefix="saas-root-") as root:
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (Path(root) / CERTIFICATES).write_bytes(("/" / CERTIFICATES).read_bytes())
            with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
                docker("import", "-", "standin/base", stdin=tar.stdout, check=True)
    for variable, name in IMAGES.items():
        docker("build", "--target", name, "--tag", f"standin/{name}", HERE, check=True)
        os.environ[variable] = f"standin/{name}"
