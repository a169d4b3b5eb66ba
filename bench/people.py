"""Who the benchmark's people are: the same ones in every run and in every side's database."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

PASSWORD = "correct-horse-battery"
PEOPLE_AN_ORGANIZATION = 10
# One organization is large, for the list of its members; its first people are admins, who may read the list.
CROWD = 1000
CROWD_ADMINS = 200
CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Organization:
    id: UUID
    number: int

    @property
    def slug(self) -> str:
        return f"bench-{self.number}"

    @property
    def name(self) -> str:
        return f"Bench {self.number}"

    @property
    def customer(self) -> str:
        """Its customer's id at Stripe."""
        return f"cus_bench{self.number}"


@dataclass(frozen=True, slots=True)
class Person:
    """`sessions` are those opened beforehand, each with a first refresh token that nobody has presented."""

    id: UUID
    organization: Organization
    number: int
    role: str
    sessions: list[UUID] = field(default_factory=list)

    @property
    def email(self) -> str:
        return f"person{self.number}@bench.example"

    @property
    def name(self) -> str:
        return f"Person {self.number}"

    @property
    def address(self) -> str:
        """Where the person's requests come from; addresses are spread, so that no limit is met."""
        return f"10.{self.number >> 16 & 255}.{self.number >> 8 & 255}.{self.number & 255}"

    @property
    def created_at(self) -> datetime:
        return CREATED_AT + timedelta(seconds=self.number)


def everybody(count: int) -> Iterator[Person]:
    """`count` people in organizations of ten, then the crowd in one of its own."""
    source = random.Random(count)
    organization: Organization | None = None
    for number in range(count + CROWD):
        place = number % PEOPLE_AN_ORGANIZATION if number < count else number - count
        if place == 0:
            organization = Organization(_uuid(source), number // PEOPLE_AN_ORGANIZATION)
        assert organization is not None
        yield Person(_uuid(source), organization, number, _role(place, in_crowd=number >= count))


def _role(place: int, *, in_crowd: bool) -> str:
    if place == 0:
        return "owner"
    return "admin" if in_crowd and place < CROWD_ADMINS else "member"


def _uuid(source: random.Random) -> UUID:
    return UUID(int=source.getrandbits(128), version=4)


def sample(count: int, *, size: int, sessions: int) -> tuple[list[Person], list[Person]]:
    """`size` of the people, evenly spread, and the crowd's admins; with the sessions that each is to have."""
    source = random.Random(-count)
    every = max(1, count // size)
    chosen, admins = [], []
    for person in everybody(count):
        in_crowd = person.number >= count
        if in_crowd and person.role != "member":
            admins.append(person)
        elif not in_crowd and person.number % every == 0 and len(chosen) < size:
            chosen.append(person)
    for person in chosen:
        person.sessions.extend(_uuid(source) for _ in range(sessions))
    for person in admins:
        person.sessions.append(_uuid(source))
    return chosen, admins
