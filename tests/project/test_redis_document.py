"""The table of docs/redis.md is held against the keys that requests leave behind."""

import re

from django_redis import get_redis_connection

from saas.kit.gate import forget_organization
from saas.kit.lock import distributed_lock
from tests.conftest import Api
from tests.project.test_documents import DOCS

ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PLACES = {
    "ORG": ID,
    "USER": ID,
    "SESSION": ID,
    "TOKEN": ID,
    "KEY": ".+",
    "LIMIT": r"[\w-]+",
    "HASH": r"\w+",
    "NAME": ".+",
}


def documented():
    rows = re.findall(
        r"^\| (`.*?`) \|", (DOCS / "redis.md").read_text().partition("## Settings")[0], re.MULTILINE
    )
    for name in re.findall(r"`(.+?)`", " ".join(rows)):
        pattern = re.escape(name)
        for place, expression in PLACES.items():
            pattern = re.sub(rf"\b{place}\b", lambda match, text=expression: text, pattern)
        yield re.compile(pattern)


def test_every_key_is_in_the_table_and_the_reverse(alice):
    redis = get_redis_connection("default")
    alice.api.get("/users/me")
    for _ in range(5):
        Api().post("/auth/login", {"email": alice.user.email, "password": "wrong-password"})
    Api().post("/auth/password/forgot", {"email": alice.user.email})
    Api().post("/auth/login", {"email": "bob@acme.example", "password": "wrong-password"})
    alice.api.patch("/users/me", {"email": "alice@new.example"})
    forget_organization(alice.organization_id)
    with distributed_lock("a-task", seconds=5):
        alice.api.post("/auth/logout")
        keys = [key.decode() for key in redis.keys("*")]
    patterns = list(documented())
    assert len(patterns) == 8
    assert [key for key in keys if not any(pattern.fullmatch(key) for pattern in patterns)] == []
    assert [pattern.pattern for pattern in patterns if not any(map(pattern.fullmatch, keys))] == []
