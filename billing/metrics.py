from prometheus_client import Counter, Histogram

EVENTS = Counter(
    "saas_stripe_events", "Stripe events, by type and by what became of them.", ["type", "result"]
)
EVENT_LAG = Histogram(
    "saas_stripe_event_lag_seconds",
    "From an event's creation at Stripe to its receipt.",
    buckets=(1, 5, 15, 60, 300, 1800, 3600, 21600, 86400, 259200),
)
STRIPE_CALLS = Counter(
    "saas_stripe_calls", "Calls to Stripe, by operation and result.", ["operation", "result"]
)
