"""What customers and Stripe send, all at once, and the ledger of what they were told."""

import asyncio
import base64
import itertools
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass

from bench.messages import sign, subscription_updated
from bench.people import Organization
from tests.conftest import PASSWORD
from tests.faults.clients import InThread
from tests.faults.line import Line, Unanswered

WEBHOOK_SECRET = "whsec_of_the_fault_tests"
# A person waits this long between two requests, so that no limit of a person is met.
THINKING = 0.1
# How often a token is tried after its session was ended.
TRIES_AFTER_THE_END = 12


@dataclass(frozen=True, slots=True)
class Told:
    """`status` is None if no answer came."""

    at: float
    kind: str
    status: int | None
    seconds: float
    retry_after: str | None
    code: str | None


class Mix(InThread):
    """Readers, writers, people who refresh, who log in and out, and Stripe; each retries as its kind does.

    `told` is every answer. The ledger: `names` that were acknowledged, and those `unsure`, by person; `sessions`
    that were opened, with whether they were ended; `events` that were acknowledged. What must stay empty:
    `foreign`, where somebody saw what is not theirs; `lost`, where an acknowledged name did not show; `revived`, where an
    ended session's token was taken; `thrown_out`, where a session that nobody ended was refused.
    """

    def __init__(self, port, *, readers, writers, refreshers, visitors, customers):
        super().__init__()
        self.port = port
        self.writers, self.refreshers, self.visitors, self.customers = (
            writers,
            refreshers,
            visitors,
            customers,
        )
        self._people = {
            self._read: readers,
            self._write: writers,
            self._refresh: refreshers,
            self._visit: visitors,
            self._deliver: customers,
        }
        self.told = []
        self.names, self.unsure = {}, defaultdict(set)
        self.sessions, self.owners, self.unsure_sessions = {}, {}, Counter()
        self.generations = Counter()
        self.events = {}
        self.foreign, self.lost, self.revived, self.thrown_out = [], [], [], []
        self._addresses = (f"198.19.{number >> 8 & 255}.{number & 255}" for number in itertools.count(1))

    @property
    def size(self):
        return sum(map(len, self._people.values()))

    async def _run(self):
        await asyncio.gather(
            *(self._live_as(kind, one) for kind, each in self._people.items() for one in each)
        )

    async def _live_as(self, kind, person):
        line = Line(self.port)
        address = next(self._addresses)

        async def ask(name, *request, **options):
            started = time.monotonic()
            options.setdefault("X_Forwarded_For", address)
            try:
                answer = await line.ask(*request, **options)
            except Unanswered:
                answer = None
            seconds = time.monotonic() - started
            status, retry_after, code = None, None, None
            if answer:
                status, retry_after = answer.status, answer.headers.get("retry-after")
                code = answer.body.get("code") if status >= 400 else None
            self.told.append(Told(started, name, status, seconds, retry_after, code))
            await asyncio.sleep(THINKING)
            return answer

        try:
            await kind(person, ask)
        finally:
            await line.close()

    async def _read(self, person, ask):
        while not self.is_stopped:
            answer = await ask("read", "GET", "/users/me", token=person.access_token)
            if answer and answer.status == 200 and answer.body["email"] != person.user.email:
                self.foreign.append((person.user.email, answer.body))
            answer = await ask("list", "GET", "/users/org", token=person.access_token)
            if answer and answer.status == 200:
                self.foreign += [each for each in answer.body["data"] if each["email"] != person.user.email]
            self._note_refusal(person, answer)

    async def _write(self, person, ask):
        for turn in itertools.count(1):
            if self.is_stopped:
                return
            name = f"Name {turn}"
            answer = await ask("write", "PATCH", "/users/me", {"name": name}, token=person.access_token)
            if answer and answer.status == 200:
                self.names[person.user.id] = name
                self.unsure[person.user.id].clear()
                answer = await ask("look", "GET", "/users/me", token=person.access_token)
                if answer and answer.status == 200 and answer.body["name"] != name:
                    self.lost.append((person.user.email, name, answer.body["name"]))
            elif answer is None or answer.status >= 500:
                self.unsure[person.user.id].add(name)
            self._note_refusal(person, answer)

    async def _refresh(self, person, ask):
        token = person.refresh_token
        while not self.is_stopped:
            # Far more often than one address may.
            address = next(self._addresses)
            body = {"refresh_token": token}
            answer = await ask("refresh", "POST", "/auth/refresh", body, X_Forwarded_For=address)
            if answer and answer.status == 200:
                token = answer.body["refresh_token"]
                self.generations[person.session_id] += 1
            self._note_refusal(person, answer)

    async def _visit(self, person, ask):
        """Log in, look, log out, and try the token of the ended session."""
        credentials = {"email": person.user.email, "password": PASSWORD}
        while not self.is_stopped:
            address = next(self._addresses)
            answer = await ask("log in", "POST", "/auth/login", credentials, X_Forwarded_For=address)
            if answer is None or answer.status >= 500:
                self.unsure_sessions[person.user.id] += 1
            if answer is None or answer.status != 200:
                continue
            token = answer.body["access_token"]
            session = session_of(token)
            self.sessions[session], self.owners[session] = "open", person.user.id
            answer = await ask("read", "GET", "/users/me", token=token)
            self._note_refusal(person, answer)
            answer = await ask("log out", "POST", "/auth/logout", {}, token=token)
            if answer is None or answer.status >= 500:
                self.sessions[session] = "unsure"
            if answer is None or answer.status != 200:
                continue
            self.sessions[session] = "ended"
            for _ in range(TRIES_AFTER_THE_END):
                answer = await ask("ended", "GET", "/users/me", token=token, X_Forwarded_For=address)
                if answer and answer.status == 200:
                    self.revived.append((time.monotonic(), session))

    async def _deliver(self, customer, ask):
        organization = Organization(customer.organization_id, customer.number)
        created = int(time.time()) - 100_000
        while not self.is_stopped:
            created += 1
            event = subscription_updated(organization, created=created)
            body = json.dumps(event).encode()
            while not self.is_stopped:
                signature = sign(body, WEBHOOK_SECRET)
                answer = await ask("webhook", "POST", "/webhooks/stripe", body, Stripe_Signature=signature)
                if answer and answer.status == 200:
                    self.events[event["id"]] = customer.number
                    break

    def _note_refusal(self, person, answer):
        if answer and answer.status in (401, 403, 404):
            self.thrown_out.append((person.user.email, answer.status, answer.body))

    def since(self, start, until=float("inf"), *kinds):
        return [each for each in self.told if start <= each.at < until and (not kinds or each.kind in kinds)]


def session_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sid"]
