import json
from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import is_naive, make_aware

from billing.models import EventState, StripeEvent
from billing.selectors import event_facts
from billing.services.inbox import fetch_missed, replay
from saas.kit import clock
from saas.kit.errors import DomainError
from tenancy.context import org_context

LINE = "{received_at:%Y-%m-%d %H:%M:%S} {state:9} {type:38} {stripe_id} {organization_id} {error}"
KEPT_BY_STRIPE = timedelta(days=30)


def moment(text: str) -> datetime:
    """A date or a time, in UTC where it says no zone."""
    day = parse_date(text)
    found = datetime(day.year, day.month, day.day) if day else parse_datetime(text)
    if found is None:
        raise ValueError(text)
    return make_aware(found) if is_naive(found) else found


class Command(BaseCommand):
    help = "Lists, shows and replays the events that Stripe sent, and fetches those that never arrived."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="one line an event, oldest first")
        listing.add_argument("--state", choices=EventState.values)
        listing.add_argument("--failed", action="store_const", const=EventState.FAILED, dest="state")
        listing.add_argument("--since", type=moment, help="received since, such as 2026-11-01")
        showing = actions.add_parser("show", help="all that is known of one event, its payload included")
        showing.add_argument("event", metavar="EVT_ID")
        replaying = actions.add_parser("replay", help="apply events again: one, or those that failed")
        replaying.add_argument("event", metavar="EVT_ID", nargs="?")
        replaying.add_argument("--failed", action="store_true")
        replaying.add_argument("--since", type=moment)
        missed = actions.add_parser(
            "fetch-missed", help="ask Stripe for events that never arrived (30 days at most)"
        )
        missed.add_argument("--since", type=moment)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        actions = {
            "list": self._list,
            "show": self._show,
            "replay": self._replay,
            "fetch-missed": self._fetch_missed,
        }
        try:
            actions[action](options)
        except DomainError as error:
            raise CommandError(f"{error.title}: {error.detail}") from error

    def _list(self, options: dict[str, Any]) -> None:
        conditions = {"state": options["state"]} if options["state"] else {}
        if options["since"]:
            conditions["received_at__gte"] = options["since"]
        for event in event_facts(**conditions):
            self.stdout.write(
                LINE.format(**event | {"organization_id": event["organization_id"] or "-"}).rstrip()
            )

    def _show(self, options: dict[str, Any]) -> None:
        event = self._one(options["event"])
        for name, value in event.items():
            self.stdout.write(f"{name}: {value}")
        if event["organization_id"] is None:
            self.stdout.write("payload: shown once an organization is matched with it")
            return
        with org_context(event["organization_id"]):
            payload = StripeEvent.objects.get(id=event["id"]).payload
        self.stdout.write(f"payload: {json.dumps(payload, indent=2)}")

    def _replay(self, options: dict[str, Any]) -> None:
        if bool(options["event"]) == bool(options["failed"]):
            raise CommandError("give an event's id, or --failed")
        if options["event"]:
            events = [self._one(options["event"])]
        else:
            conditions = {"received_at__gte": options["since"]} if options["since"] else {}
            events = list(event_facts(state=EventState.FAILED, **conditions))
        failed = 0
        for event in events:
            result = replay(event)
            failed += result == EventState.FAILED
            self.stdout.write(f"{event['stripe_id']} {result}")
        if failed:
            raise CommandError(
                f"{failed} of {len(events)} failed again; `stripe_events list --failed` says why"
            )

    def _fetch_missed(self, options: dict[str, Any]) -> None:
        since = options["since"] or clock.now() - KEPT_BY_STRIPE
        count = 0
        for event_id, result in fetch_missed(since):
            count += result != "duplicate"
            if result != "duplicate":
                self.stdout.write(f"{event_id} {result}")
        self.stdout.write(f"{count} events were missing")

    def _one(self, stripe_id: str) -> dict[str, Any]:
        for event in event_facts([stripe_id]):
            return event
        raise CommandError(f"there is no event {stripe_id}")
