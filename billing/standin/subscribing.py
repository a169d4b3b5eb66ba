"""The life of a subscription, with Stripe's events in Stripe's order."""

import copy
from typing import NamedTuple

from billing.standin import invoicing
from billing.standin.errors import StripeFailure
from billing.standin.periods import after
from billing.standin.shapes import subscriptions
from billing.standin.state import Json, State

UPDATED = "customer.subscription.updated"
# Stripe reminds three days before a trial ends, and at once if it is shorter.
TRIAL_REMINDER = 3 * 24 * 3600
ENDED = ("canceled", "incomplete_expired")


class Line(NamedTuple):
    price: Json
    quantity: int
    metadata: Json


def start(
    state: State,
    params: Json,
    *,
    customer: Json,
    lines: list[Line],
    trial_end: int | None,
    card_id: str | None,
) -> tuple[Json, Json]:
    """A subscription that is incomplete or on trial, and its first invoice, open."""
    now = state.now()
    subscription = subscriptions.subscription(
        params,
        customer_id=customer["id"],
        currency=lines[0].price["currency"],
        trial_end=trial_end,
        card_id=card_id,
        now=now,
    )
    for line in lines:
        end = trial_end or after(now, line.price["recurring"], anchor=now)
        add_item(subscription, line, period=(now, end), now=now)
    state.add("subscriptions", subscription)
    invoice = invoicing.draft_for(state, subscription, reason="subscription_create")
    state.emit("customer.subscription.created", subscription)
    if trial_end and trial_end - now <= TRIAL_REMINDER:
        state.emit("customer.subscription.trial_will_end", subscription)
    state.emit("invoice.created", invoice)
    invoicing.finalize(state, invoice)
    return subscription, invoice


def add_item(subscription: Json, line: Line, *, period: tuple[int, int], now: int) -> None:
    item = subscriptions.item(
        line.price,
        quantity=line.quantity,
        subscription_id=subscription["id"],
        period=period,
        metadata=line.metadata,
        now=now,
    )
    subscription["items"]["data"].append(item)
    subscription["items"]["total_count"] += 1


def settle(state: State, subscription: Json, invoice: Json, *, succeeds: bool) -> None:
    """Charges the open invoice; the first charge that fails leaves a subscription incomplete, a later one past due."""
    if succeeds or invoice["amount_due"] == 0:
        invoicing.pay(state, invoice)
    else:
        invoicing.fail(state, invoice)
    with state.updating(subscription, UPDATED):
        if invoice["status"] != "paid":
            subscription["status"] = "incomplete" if subscription["status"] == "incomplete" else "past_due"
        elif subscription["status"] != "trialing":
            subscription["status"] = "active"


def renew(state: State, subscription: Json, *, succeeds: bool) -> None:
    """The present period is over: the next one begins where it ended, or the subscription ends."""
    refuse_ended(subscription)
    if subscription["cancel_at_period_end"]:
        end(state, subscription, at=period_end(subscription))
        return
    with state.updating(subscription, UPDATED):
        for item in subscription["items"]["data"]:
            begin_period(subscription, item, start=item["current_period_end"])
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
        invoice = invoicing.draft_for(state, subscription, reason="subscription_cycle")
        state.emit("invoice.created", invoice)
    invoicing.finalize(state, invoice)
    settle(state, subscription, invoice, succeeds=succeeds)


def begin_period(subscription: Json, item: Json, *, start: int) -> None:
    item["current_period_start"] = start
    item["current_period_end"] = after(
        start, item["price"]["recurring"], anchor=subscription["billing_cycle_anchor"]
    )


def period_end(subscription: Json) -> int:
    return min(int(item["current_period_end"]) for item in subscription["items"]["data"])


def retry(state: State, subscription: Json, *, succeeds: bool) -> None:
    settle(state, subscription, invoicing.open_invoice(state, subscription), succeeds=succeeds)


def move_trial_end(state: State, subscription: Json, moment: int) -> None:
    refuse_unless_trialing(subscription)
    with state.updating(subscription, UPDATED):
        subscription["trial_end"] = subscription["billing_cycle_anchor"] = moment
        for item in subscription["items"]["data"]:
            item["current_period_end"] = moment


def end_trial(state: State, subscription: Json, *, succeeds: bool, has_card: bool) -> None:
    refuse_unless_trialing(subscription)
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    move_trial_end(state, subscription, state.now())
    if not has_card and behavior == "cancel":
        end(state, subscription, at=state.now())
    elif not has_card and behavior == "pause":
        with state.updating(subscription, UPDATED):
            subscription["status"] = "paused"
        state.emit("customer.subscription.paused", subscription)
    else:
        renew(state, subscription, succeeds=succeeds)


def end(state: State, subscription: Json, *, at: int, reason: str = "cancellation_requested") -> None:
    refuse_ended(subscription)
    subscription |= {
        "status": "canceled",
        "ended_at": at,
        "canceled_at": subscription["canceled_at"] or state.now(),
    }
    subscription["cancellation_details"]["reason"] = reason
    state.emit("customer.subscription.deleted", subscription)


def set_cancel_at_period_end(state: State, subscription: Json, *, cancels: bool) -> None:
    subscription |= {
        "cancel_at_period_end": cancels,
        "cancel_at": period_end(subscription) if cancels else None,
        "canceled_at": state.now() if cancels else None,
    }
    subscription["cancellation_details"]["reason"] = "cancellation_requested" if cancels else None


def change_price(state: State, subscription: Json, item: Json, *, price: Json, quantity: int) -> bool:
    """True if a new period has begun and must be billed: so it is when the interval changes. Nothing is prorated."""
    same = item["price"]["recurring"] == price["recurring"]
    item |= {"price": copy.deepcopy(price), "quantity": quantity}
    if same or subscription["status"] == "trialing":
        return False
    subscription["billing_cycle_anchor"] = state.now()
    begin_period(subscription, item, start=state.now())
    return True


def bill_now(state: State, subscription: Json, *, succeeds: bool) -> None:
    with state.updating(subscription, UPDATED):
        invoice = invoicing.draft_for(state, subscription, reason="subscription_update")
    state.emit("invoice.created", invoice)
    invoicing.finalize(state, invoice)
    settle(state, subscription, invoice, succeeds=succeeds)


def refuse_ended(subscription: Json) -> None:
    if subscription["status"] in ENDED:
        raise StripeFailure(
            f"A canceled subscription can only update its cancellation_details and metadata: {subscription['id']}."
        )


def refuse_unless_trialing(subscription: Json) -> None:
    if subscription["status"] != "trialing":
        raise StripeFailure(f"Subscription {subscription['id']} is not on trial.", param="trial_end")
