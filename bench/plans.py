"""How PostgreSQL finds rows through the fence, as saas_app in one organization's signed context."""

import os
from collections.abc import Iterator

import psycopg

from bench.people import Person, everybody
from bench.work import PROFILE, Bearer, context

SET_CONTEXT = (
    "SELECT set_config('app.current_org_id', %s, true), set_config('app.current_org_proof', %s, true)"
)
MEMBERS = "SELECT * FROM accounts_user ORDER BY organization_id, created_at, id LIMIT 26"
SESSION = (
    "SELECT * FROM accounts_session s JOIN accounts_user u ON u.id = s.user_id WHERE s.id = %s AND u.id = %s"
)


def plans(url: str) -> Iterator[str]:
    """The plan of each query that the measured reads make."""
    person: Person = next(everybody(1_000_000))
    bearer = Bearer(str(person.id), str(person.organization.id), os.urandom(16).hex(), "")
    queries = {
        "the profile": (PROFILE.format("%s"), [person.id]),
        "the session": (SESSION, [bearer.session_id, person.id]),
        "the members": (MEMBERS, []),
    }
    with psycopg.connect(url) as connection:
        connection.execute(SET_CONTEXT, context(bearer))
        for name, (query, values) in queries.items():
            rows = connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {query}", values).fetchall()
            lines = [line for (line,) in rows]
            scanned = any("Seq Scan on accounts_" in line or "Seq Scan on tenancy_" in line for line in lines)
            yield f"{name}: {'SCANS A WHOLE TABLE' if scanned else 'by index alone'}\n" + "\n".join(lines)


if __name__ == "__main__":
    for plan in plans(os.environ["DATABASE_URL"]):
        print(f"\n{plan}", flush=True)
