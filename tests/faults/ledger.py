"""Who takes part in a fault under load, and what the database has to hold afterwards."""

from dataclasses import dataclass
from uuid import UUID

from accounts.models import Session, User
from billing.models import Customer, StripeEvent, Subscription
from tenancy.context import org_context
from tests.conftest import make_owner
from tests.faults.mix import Mix


@dataclass(frozen=True, slots=True)
class KnownCustomer:
    organization_id: UUID
    number: int


def make_mix(port, *, series=0):
    """People of their own for each `series`."""

    def people(kind, count):
        names = [f"{kind}{series}-{number}" for number in range(count)]
        return [make_owner(f"{name}@example.com", name, kind.title()) for name in names]

    customers = []
    for number, person in enumerate(people("payer", 2), start=10 * series):
        with org_context(person.organization_id):
            # As bench.people names them.
            Customer.objects.create(stripe_id=f"cus_bench{number}")
        customers.append(KnownCustomer(person.organization_id, number))
    return Mix(
        port,
        readers=people("reader", 8),
        writers=people("writer", 4),
        refreshers=people("refresher", 3),
        visitors=people("visitor", 4),
        customers=customers,
    )


def hold_against_the_database(mix):
    """Every acknowledged write is there, none is there twice, and nobody saw what is not theirs."""
    assert mix.foreign == []
    assert mix.lost == []
    assert mix.thrown_out == []
    for person in mix.writers:
        with org_context(person.organization_id):
            name = User.objects.get().name
        assert name in {mix.names[person.user.id], *mix.unsure[person.user.id]}
    for person in mix.refreshers:
        _hold_refreshes(mix, person)
    for person in mix.visitors:
        _hold_sessions(mix, person)
    _hold_events(mix)


def _hold_refreshes(mix, person):
    with org_context(person.organization_id):
        session = Session.objects.get()
    assert session.revoked_at is None
    # A rotation whose answer got lost is acknowledged by the next answer, as the same generation.
    assert session.refresh_generation in (mix.generations[person.session_id] + extra for extra in (0, 1))


def _hold_sessions(mix, person):
    with org_context(person.organization_id):
        rows = {str(session.id): session for session in Session.objects.exclude(id=person.session_id)}
    known = {session: state for session, state in mix.sessions.items() if session in rows}
    for session, state in known.items():
        assert state == "unsure" or (rows[session].revoked_at is not None) == (state == "ended"), session
    assert len(rows) - len(known) <= mix.unsure_sessions[person.user.id]
    for session, owner in mix.owners.items():
        assert owner != person.user.id or session in rows, "an acknowledged log-in left no session"


def _hold_events(mix):
    for customer in mix.customers:
        with org_context(customer.organization_id):
            stored = {event.stripe_id: event for event in StripeEvent.objects.all()}
            [subscription] = Subscription.objects.all()
        acknowledged = {event for event, number in mix.events.items() if number == customer.number}
        assert acknowledged <= stored.keys()
        assert {event.state for event in stored.values()} <= {"processed", "stale"}
        newest = max(event.created for event in stored.values())
        assert subscription.state.current_period_end.timestamp() == newest + 30 * 86_400
