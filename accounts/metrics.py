from prometheus_client import Counter

REFRESHES = Counter("saas_refreshes", "Refresh tokens presented, by result.", ["result"])
# Seen as 0 from the start: Prometheus takes no rise from a series that begins with 1.
REFRESHES.labels("reused")
LOGINS = Counter("saas_logins", "Log-ins, by result.", ["result"])
REVOCATIONS_DELAYED = Counter(
    "saas_revocations_delayed", "Revocations whose write to Redis failed at first and was left to the job."
)
