"""nginx with deploy/nginx in front of a side, on ports of its own."""

import os
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench.environment import HOST, directory
from bench.load import HERE, WrongAnswers
from saas.launcher.processes import Child, free_port, wait_until_ready

CONFIGURATION = HERE.parent / "deploy" / "nginx"
# In its container; here each run has a folder of its own.
WRITES_TO = "/tmp/"  # noqa: S108
# As docs/deployment.md has it for who stands behind a load balancer: here the client is one.
BEHIND_A_BALANCER = "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Forwarded-For;\n"


class Front:
    """`port` speaks TLS."""

    def __init__(self, web: int, *, more: str = "") -> None:
        self.port = free_port()
        self._folder = directory() / "nginx"
        self._write(web, more)
        user = "user root;" if os.geteuid() == 0 else ""
        command = ["nginx", "-p", f"{self._folder}/", "-c", "https.conf", "-g", f"daemon off; {user}"]
        self._child = Child("nginx", command, log=directory() / "nginx.log")

    @property
    def pid(self) -> int:
        return self._child.pid

    def start(self) -> None:
        self._child.start()
        wait_until_ready(self._child, self._answers, timeout=30, advice=f"Its log is {self._child.log}")

    def stop(self) -> None:
        self._child.stop()

    def _answers(self) -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", self.port)) == 0

    def _write(self, web: int, more: str) -> None:
        shutil.copytree(CONFIGURATION, self._folder, dirs_exist_ok=True)
        upstream = (
            f'map "" $web {{ default 127.0.0.1:{web}; }}\nmap "" $grafana {{ default 127.0.0.1:{web}; }}\n'
        )
        (self._folder / "upstream.conf").write_text(more + upstream)
        # More than the machine allows would not be taken at all.
        files = min(48_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        for name, old, new in (
            ("https.conf", "listen 80;", f"listen 127.0.0.1:{free_port()};"),
            ("https.conf", "listen 443 ", f"listen 127.0.0.1:{self.port} "),
            ("monitoring.conf", "listen 3000;", f"listen 127.0.0.1:{free_port()};"),
            ("shared.conf", "listen 127.0.0.1:8080;", f"listen 127.0.0.1:{free_port()};"),
            ("shared.conf", WRITES_TO, f"{self._folder}/"),
            ("shared.conf", "/dev/stdout json", f"{self._folder}/access.log json"),
            ("process.conf", WRITES_TO, f"{self._folder}/"),
            ("process.conf", "worker_rlimit_nofile 48000;", f"worker_rlimit_nofile {files};"),
            ("tls.conf", "/run/secrets/", f"{self._folder}/"),
        ):
            self._replace(name, old, new)
        self._make_certificate()

    def _make_certificate(self) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-nodes", "-days", "2", "-subj", f"/CN={HOST}"]
        command += ["-keyout", f"{self._folder}/tls_key", "-out", f"{self._folder}/tls_certificate"]
        subprocess.run(command, check=True, capture_output=True)

    def _replace(self, name: str, old: str, new: str) -> None:
        file = self._folder / name
        text = file.read_text()
        if old not in text:
            raise WrongAnswers(f"deploy/nginx/{name} says nothing of {old!r}")
        file.write_text(text.replace(old, new))


@contextmanager
def standing_before(web: int, *, more: str = "") -> Iterator[Front]:
    if shutil.which("nginx") is None:
        raise WrongAnswers("nginx is not installed")
    front = Front(web, more=more)
    try:
        front.start()
        yield front
    finally:
        front.stop()
