"""Billing periods."""

import calendar
from datetime import UTC, datetime, timedelta

from billing.standin.state import Json


def after(start: int, recurring: Json, *, anchor: int) -> int:
    """One interval later; a month keeps the anchor's day where it has one, else takes its last day."""
    interval, count = recurring["interval"], recurring["interval_count"]
    moment = datetime.fromtimestamp(start, UTC)
    if interval in ("day", "week"):
        days = count * (7 if interval == "week" else 1)
        return int((moment + timedelta(days=days)).timestamp())
    months = moment.month - 1 + count * (12 if interval == "year" else 1)
    year, month = moment.year + months // 12, months % 12 + 1
    day = min(datetime.fromtimestamp(anchor, UTC).day, calendar.monthrange(year, month)[1])
    return int(moment.replace(year=year, month=month, day=day).timestamp())
