"""What happens to customers, in one word each: the hosted pages, the time machine and the tests call these."""

from collections.abc import Iterable

from billing.standin import invoicing, subscribing
from billing.standin.errors import StripeFailure, card_declined, missing
from billing.standin.shapes import customers
from billing.standin.state import Json, State
from billing.standin.subscribing import UPDATED, Line

DAY = 24 * 3600


class Book(State):
    def customer(self, customer_id: str, *, param: str | None = None) -> Json:
        """A deleted customer can be fetched, and nothing else."""
        customer = self.find("customers", customer_id, param=param)
        if customer.get("deleted"):
            raise missing("customer", customer_id, param=param)
        return customer

    def attach_card(
        self, customer_id: str, *, fails: bool = False, card: Json | None = None, default: bool = True
    ) -> Json:
        with self.change():
            customer = self.customer(customer_id)
            last4 = customers.CARD_THAT_FAILS if fails else customers.CARD_THAT_PAYS
            card = card or self.add("payment_methods", customers.card(last4=last4, now=self.now()))
            card["customer"] = customer_id
            self.emit("payment_method.attached", card)
            if default:
                with self.updating(customer, "customer.updated"):
                    customer["invoice_settings"]["default_payment_method"] = card["id"]
            return card

    def update_card(self, customer_id: str) -> Json:
        """A new card that pays, for the customer and everything the customer still has."""
        with self.change():
            card = self.attach_card(customer_id)
            for subscription in self.subscriptions_of(customer_id):
                if subscription["status"] not in subscribing.ENDED:
                    with self.updating(subscription, UPDATED):
                        subscription["default_payment_method"] = card["id"]
            return card

    def subscriptions_of(self, customer_id: str) -> list[Json]:
        return [entry for entry in self.subscriptions.values() if entry["customer"] == customer_id]

    def subscribe(
        self,
        customer_id: str,
        lines: Iterable[Line],
        *,
        params: Json | None = None,
        trial_end: int | None = None,
        card_id: str | None = None,
        charged: bool = True,
    ) -> Json:
        """The first charge fails or succeeds by the card; `charged=False` leaves it for later."""
        with self.change():
            customer = self.customer(customer_id, param="customer")
            subscription, invoice = subscribing.start(
                self, params or {}, customer=customer, lines=list(lines), trial_end=trial_end, card_id=card_id
            )
            if charged or not invoice["amount_due"]:
                pays = invoicing.card_pays(self, customer=customer, card_id=card_id)
                subscribing.settle(self, subscription, invoice, succeeds=pays)
            return subscription

    def open_session(self, session_id: str) -> Json:
        """The session if it can still be paid; one whose time is over expires here."""
        session = self.session(session_id)
        if session["status"] != "open":
            raise StripeFailure(f"This Checkout Session is {session['status']}.")
        return session

    def session(self, session_id: str) -> Json:
        with self.change():
            session = self.find("checkout_sessions", session_id)
            if session["status"] == "open" and session["expires_at"] <= self.now():
                self.expire(session_id)
            return session

    def expire(self, session_id: str) -> Json:
        with self.change():
            session = self.find("checkout_sessions", session_id)
            if session["status"] != "open":
                raise StripeFailure(
                    f'Only Checkout Sessions with a status in ["open"] can be expired. This Session has a '
                    f"status of {session['status']}."
                )
            session |= {"status": "expired", "url": None}
            self.emit("checkout.session.expired", session)
            return session

    def pay(self, session_id: str, *, email: str | None = None) -> Json:
        """The customer pays the checkout session with a card that works."""
        with self.change():
            session = self.open_session(session_id)
            customer = self.customer_of(session, email)
            card = self.attach_card(customer["id"])
            if session["mode"] == "subscription":
                self.subscribe_by_session(session, card["id"])
            else:
                # Payment intents are not kept: the session names one that cannot be fetched.
                session |= {"payment_intent": f"pi_{session['id']}", "payment_status": "paid"}
            session |= {"status": "complete", "url": None}
            self.emit("checkout.session.completed", session)
            return session

    def decline(self, session_id: str) -> None:
        """The customer tries a card that fails; the session stays open and no event is sent."""
        with self.change():
            self.open_session(session_id)
            raise card_declined()

    def customer_of(self, session: Json, email: str | None) -> Json:
        if session["customer"]:
            return self.customer(session["customer"])
        address = session["customer_email"] or email
        customer = self.add(
            "customers", customers.customer({"email": address}, now=self.now()), "customer.created"
        )
        session["customer"] = customer["id"]
        session["customer_details"] = {
            "address": None,
            "email": address,
            "name": None,
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": None,
        }
        return customer

    def subscribe_by_session(self, session: Json, card_id: str) -> None:
        data = self.session_data[session["id"]]
        lines = [Line(item["price"], item["quantity"], {}) for item in self.line_items[session["id"]]]
        subscription = self.subscribe(
            session["customer"],
            lines,
            params=data,
            trial_end=trial_end(data, now=self.now()),
            card_id=card_id,
        )
        trialing = subscription["status"] == "trialing"
        session |= {
            "subscription": subscription["id"],
            "invoice": subscription["latest_invoice"],
            "payment_status": "no_payment_required" if trialing else "paid",
        }

    def renew(self, subscription_id: str, *, succeeds: bool = True) -> Json:
        with self.change():
            subscription = self.find("subscriptions", subscription_id)
            subscribing.renew(self, subscription, succeeds=succeeds)
            return subscription

    def retry_payment(self, subscription_id: str, *, succeeds: bool = True) -> Json:
        with self.change():
            subscription = self.find("subscriptions", subscription_id)
            subscribing.retry(self, subscription, succeeds=succeeds)
            return subscription

    def trial_will_end(self, subscription_id: str) -> Json:
        """Moves the trial's end to three days from now, which is when Stripe sends its reminder."""
        with self.change():
            subscription = self.find("subscriptions", subscription_id)
            subscribing.move_trial_end(self, subscription, self.now() + subscribing.TRIAL_REMINDER)
            self.emit("customer.subscription.trial_will_end", subscription)
            return subscription

    def end_trial(self, subscription_id: str, *, succeeds: bool | None = None) -> Json:
        with self.change():
            subscription = self.find("subscriptions", subscription_id)
            pays, has_card = self.card_of(subscription)
            if succeeds is not None:
                pays, has_card = succeeds, True
            subscribing.end_trial(self, subscription, succeeds=pays, has_card=has_card)
            return subscription

    def card_of(self, subscription: Json) -> tuple[bool, bool]:
        """Whether the subscription's card pays, and whether there is one."""
        customer = self.find("customers", subscription["customer"])
        card_id = (
            subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
        )
        return invoicing.card_pays(self, customer=customer, card_id=card_id), card_id is not None

    def cancel(self, subscription_id: str, *, at_period_end: bool = False) -> Json:
        with self.change():
            subscription = self.find("subscriptions", subscription_id)
            if at_period_end:
                self.set_cancel_at_period_end(subscription, cancels=True)
            else:
                subscribing.end(self, subscription, at=self.now())
            return subscription

    def resume(self, subscription_id: str) -> Json:
        """Takes back a cancellation at the period's end."""
        with self.change():
            subscription = self.find("subscriptions", subscription_id)
            self.set_cancel_at_period_end(subscription, cancels=False)
            return subscription

    def set_cancel_at_period_end(self, subscription: Json, *, cancels: bool) -> None:
        subscribing.refuse_ended(subscription)
        with self.updating(subscription, UPDATED):
            subscribing.set_cancel_at_period_end(self, subscription, cancels=cancels)

    def finish_dunning(self, subscription_id: str) -> Json:
        """All retries have failed: Stripe cancels the subscription, its invoice stays open."""
        with self.change():
            subscription = self.find("subscriptions", subscription_id)
            subscribing.end(self, subscription, at=self.now(), reason="payment_failed")
            return subscription

    def change_price(self, subscription_id: str, price_id: str, *, quantity: int | None = None) -> Json:
        with self.change():
            subscription = self.find("subscriptions", subscription_id)
            subscribing.refuse_ended(subscription)
            item = subscription["items"]["data"][0]
            with self.updating(subscription, UPDATED):
                billed = subscribing.change_price(
                    self,
                    subscription,
                    item,
                    price=self.subscription_price(price_id),
                    quantity=quantity or item["quantity"],
                )
            if billed:
                subscribing.bill_now(self, subscription, succeeds=self.card_of(subscription)[0])
            return subscription

    def subscription_price(self, price_id: str, *, param: str = "price") -> Json:
        price = self.prices.get(price_id)
        if price is None:
            raise missing("price", price_id, param=param)
        if not price["active"]:
            raise StripeFailure(
                "The price specified is inactive. This field only accepts active prices.", param=param
            )
        if price["type"] != "recurring":
            raise StripeFailure(
                "The price specified is set to `type=one_time` but this field only accepts prices with "
                "`type=recurring`.",
                param=param,
            )
        return price


def trial_end(params: Json, *, now: int) -> int | None:
    if params.get("trial_period_days"):
        return now + int(params["trial_period_days"]) * DAY
    return params.get("trial_end")
