# What the service `setup` does before web and worker start; each step may be done again.
if [ "$DEPLOYMENT_ENV" = development ]; then
    python manage.py jwt_keys generate --if-missing
elif [ ! -e "$JWT_KEYS_DIR/keys.json" ]; then
    echo "There is no signing key. Make the first one:" >&2
    echo "  docker compose --profile saas run --rm --no-deps setup python manage.py jwt_keys generate" >&2
    exit 1
fi
python manage.py bootstrap_database
# One that can't get its lock gives up, or every request to that table would queue up behind it: docs/upgrading.md
PGOPTIONS="-c lock_timeout=5s" python manage.py migrate --no-input
if [ "$DEPLOYMENT_ENV" = development ]; then
    python manage.py seed_demo
fi
