"""What `make run` runs: PostgreSQL, Valkey and a stand-in for Stripe unless others are given, then web and worker."""

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType

from saas.launcher import state
from saas.launcher.databases import Databases, given_databases
from saas.launcher.environment import (
    LOCAL,
    development_defaults,
    given,
    kept_secrets,
    listen_address,
    local_name,
    over_defaults,
    role_urls,
)
from saas.launcher.errors import LauncherError
from saas.launcher.preparation import Preparation
from saas.launcher.processes import Child, answers, free_port, is_port_free, wait_until_ready
from saas.launcher.say import say
from saas.launcher.servers import Postgres, Server, Valkey
from saas.launcher.standin import StandIn
from saas.launcher.supervisor import Service, supervise

# A role's URL stays with whom it is for; the owner's passes every fence, so neither gets it.
NOT_FOR_WEB = ("BOOTSTRAP_DATABASE_URL", "OWNER_DATABASE_URL", "WORKER_DATABASE_URL")
NOT_FOR_WORKER = ("BOOTSTRAP_DATABASE_URL", "OWNER_DATABASE_URL", "SUPPORT_DATABASE_URL")
READY_SECONDS = 60.0
NOT_READY = (
    "What it said stands above. If roles, passwords or data were changed by hand, remove .local/prepared "
    "to have them prepared again, or start anew with `make clean`."
)


class StopRequested(BaseException):
    """A signal asked us to stop."""


def run() -> None:
    """Return when a signal has stopped it. Raises LauncherError if it can't start."""
    with state.only_one(LOCAL):
        host, port = listen_address()
        if not is_port_free(host, port):
            raise LauncherError(
                f"Port {port} on {host} is taken: stop what listens there, or choose another with PORT=."
            )
        kept = kept_secrets(LOCAL)
        databases = given_databases(kept)
        services: list[Service] = []
        try:
            with _stopped_by_signals(services):
                _start(services, databases, kept, host, port)
                supervise(services)
        except StopRequested:
            say("Stopping.")
        finally:
            state.forget_environment(LOCAL)
            _stop(services)


def _start(
    services: list[Service], databases: Databases | None, kept: Mapping[str, str], host: str, port: int
) -> None:
    started_at = time.monotonic()
    redis_url = given("REDIS_URL") or _start_valkey(services)
    is_new = False
    if is_embedded := databases is None:
        postgres = Postgres(LOCAL / "postgres", port=_kept_port("postgres"))
        is_new = postgres.is_new
        _start_server(services, postgres)
        databases = Databases(role_urls(postgres.url, kept), postgres.url)
    environment = over_defaults(
        development_defaults(LOCAL, kept, host=host, port=port) | databases.urls | {"REDIS_URL": redis_url}
    )
    environment |= databases.urls
    name = local_name(host)
    standin = None if given("STRIPE_SECRET_KEY") else _start_standin(services, environment, kept, name, port)
    preparation = Preparation(
        LOCAL,
        environment,
        superuser_url=databases.superuser_url,
        standin_state=standin.state if standin else None,
    )
    if is_new or not is_embedded or not preparation.is_current:
        say("Preparing roles, migrations, signing keys and the demo organization.")
        preparation.run()
    state.write_environment(LOCAL, environment)
    web, worker = _programs(environment)
    for program in (web, worker):
        program.start()
        services.append(program)
    _wait_for_answer(web, name, port)
    _greet(port, standin, preparation.log_ins, time.monotonic() - started_at)


def _start_valkey(services: list[Service]) -> str:
    valkey = Valkey(LOCAL / "valkey", port=_kept_port("valkey"))
    _start_server(services, valkey)
    return valkey.url


def _start_server(services: list[Service], server: Server) -> None:
    server.log.unlink(missing_ok=True)
    services.append(server)
    server.start()
    say(str(server))


def _start_standin(
    services: list[Service], environment: dict[str, str], kept: Mapping[str, str], web: str, port: int
) -> StandIn:
    """In `environment` too it takes Stripe's place."""
    secrets = given("STRIPE_WEBHOOK_SECRET") or kept["STRIPE_WEBHOOK_SECRET"]
    standin = StandIn(
        LOCAL / "stripe.json",
        port=_kept_port("stripe"),
        webhook_url=f"http://{web}:{port}/webhooks/stripe",
        webhook_secret=secrets.partition(",")[0].strip(),
    )
    _start_server(services, standin)
    environment |= standin.variables
    if hosts := given("ALLOWED_HOSTS"):
        # Or its events would be refused.
        environment["ALLOWED_HOSTS"] = f"{hosts},{web}"
    return standin


def _kept_port(server: str) -> int:
    """The one of the last start, so that other programs find it again, unless somebody took it."""
    file = LOCAL / f"{server}.port"
    port = int(file.read_text()) if file.exists() else free_port()
    if not is_port_free("127.0.0.1", port):
        port = free_port()
    file.write_text(str(port))
    return port


def _programs(environment: Mapping[str, str]) -> tuple[Child, Child]:
    def without(*hidden: str) -> dict[str, str]:
        return {
            name: value for name, value in environment.items() if name.removesuffix("_FILE") not in hidden
        }

    web = Child(
        "web",
        [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "saas.wsgi:application"],
        environment=without(*NOT_FOR_WEB),
        hurry_signal=signal.SIGQUIT,
        death_signal=signal.SIGQUIT,
    )
    worker = Child("worker", [sys.executable, "manage.py", "worker"], environment=without(*NOT_FOR_WORKER))
    return web, worker


def _wait_for_answer(web: Child, name: str, port: int) -> None:
    is_ready = partial(answers, f"http://{name}:{port}/health/ready")
    wait_until_ready(web, is_ready, timeout=READY_SECONDS, advice=NOT_READY)


def _greet(port: int, standin: StandIn | None, log_ins: str, seconds: float) -> None:
    address = f"http://localhost:{port}"
    places = {
        address: "pages and API",
        f"{address}/docs": "the API's documentation",
        f"{address}/admin": "for support staff: `make manage ARGS='create_support_user you@example.com'` makes one",
    }
    if not given("EMAIL_BACKEND"):
        places[f"{address}/dev/mail"] = "the mails that it sends"
    if standin:
        places[standin.url] = "in Stripe's place: this is no Stripe and takes no money"
    say(f"\nReady after {seconds:.1f} s.")
    say("\n".join(f"  {place:<{max(map(len, places))}}   {what}" for place, what in places.items()))
    say("\n".join(f"  {line}" for line in log_ins.splitlines()))
    if not standin:
        say("Stripe is asked with your STRIPE_SECRET_KEY: `make manage ARGS=sync_plans` brings it the plans.")
    say("`make -s env` prints the addresses of its servers. Ctrl-C stops everything.\n")


@contextmanager
def _stopped_by_signals(services: Sequence[Service]) -> Iterator[None]:
    """The first signal raises StopRequested; each further one cuts the waiting short."""
    is_stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            for service in services:
                service.ask_to_stop(hurry=True)
            return
        is_stopping = True
        raise StopRequested

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    yield


def _stop(services: Sequence[Service]) -> None:
    servers = [service for service in services if isinstance(service, Server)]
    programs = [service for service in services if service not in servers]
    for group in (programs, servers):
        for service in group:
            service.ask_to_stop()
        for service in group:
            service.stop()
