from prometheus_client import Counter

REFRESHES = Counter("saas_refreshes", "Refresh tokens presented, by result.", ["result"])
LOGINS = Counter("saas_logins", "Log-ins, by result.", ["result"])
REVOCATIONS_DELAYED = Counter(
    "saas_revocations_delayed", "Revocations whose write to Redis failed at first and was left to the job."
)
