# `make` shows the targets. Variables come from the command line or the environment: PORT=9000 make run

PYTHON ?= python3
VENV ?= .venv
# By file, so that a file's servers are started once.
PYTEST_ARGS ?= -n 2 --dist loadfile
BENCH ?= quick
SBOM ?= sbom.json
ARGS ?= help
BIN := $(abspath $(VENV))/bin
LAUNCHER := $(BIN)/python -m saas.launcher

# A VENV that was given is somebody's own: it is used as it is.
ifeq ($(origin VENV),file)
install := $(PYTHON) -m saas.launcher.install $(VENV)
else
install := @:
endif

.DEFAULT_GOAL := help
.PHONY: help run test bench check check-django format env shell manage migrations messages lock sbom audit clean

help:
	@echo "make run         run the platform on http://localhost:8000 (PORT=, HOST=); Ctrl-C stops it"
	@echo "make test        run every test (PYTEST_ARGS='tests/tenancy')"
	@echo "make bench       compare what a request costs, 4 minutes (BENCH=full, million, pages, workers, connections, baseline, stress, ultimate, active)"
	@echo "make check       lint, types, layers, migrations, deployment settings, OpenAPI"
	@echo "make format      format the code and mend what ruff can mend"
	@echo "make -s env      print the running platform's addresses as NAME=value lines"
	@echo "make shell       open a Django shell in the running platform's environment"
	@echo "make manage      run a command in it: make manage ARGS='check_isolation'"
	@echo "make migrations  write the migrations that the models ask for"
	@echo "make messages    gather the texts to translate in locale/, and compile the translations (needs gettext)"
	@echo "make lock        write the .lock files: every version and hash (ARGS=--upgrade, ARGS='--upgrade-package NAME')"
	@echo "make sbom        write what the image holds as CycloneDX to sbom.json (SBOM=another-file)"
	@echo "make audit       ask for known vulnerabilities of all that is locked; needs a network"
	@echo "make clean       remove the data of 'make run', and caches"

run:
	@$(install) requirements.lock
	@exec $(LAUNCHER) run

test:
	@$(install) requirements-dev.lock
	@exec $(LAUNCHER) test -- $(PYTEST_ARGS)

bench:
	@$(install) requirements-bench.lock
	@exec $(LAUNCHER) with-servers -- $(BIN)/python -m bench $(BENCH)

check:
	@$(install) requirements-dev.lock
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# Django's plugin loads the settings; it connects to nothing.
	DEPLOYMENT_ENV=development SECRET_KEY=types DATABASE_URL=postgres://saas_app@localhost/saas \
		TENANCY_CONTEXT_KEYS=$$(printf '0%.0s' $$(seq 64)) $(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.project.rules
	@exec $(LAUNCHER) with-servers -- $(MAKE) --no-print-directory check-django VENV=$(abspath $(VENV))

# With servers of its own, so call `make check`.
check-django: export DEPLOYMENT_ENV = production
check-django: export PUBLIC_URL = https://app.example.com
check-django: export ALLOWED_HOSTS = app.example.com
check-django: export TRUSTED_PROXY_COUNT = 1
check-django: export SENDGRID_API_KEY = SG.for-the-check
check-django: export STRIPE_SECRET_KEY = sk_live_for_the_check
check-django: export STRIPE_WEBHOOK_SECRET = whsec_for_the_check
check-django:
	$(BIN)/python manage.py jwt_keys generate --if-missing
	$(BIN)/python manage.py bootstrap_database
	$(BIN)/python manage.py migrate --no-input --verbosity=0
	$(BIN)/python manage.py check --deploy --fail-level=WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check_isolation
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file=/dev/null

format:
	@$(install) requirements-dev.lock
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Any Python does, so the VENV of `make run` need not be given again.
env:
	@exec $(firstword $(wildcard $(BIN)/python) $(PYTHON)) -m saas.launcher.state

shell:
	@exec $(LAUNCHER) exec -- $(BIN)/python manage.py shell

manage:
	@exec $(LAUNCHER) exec -- $(BIN)/python manage.py $(ARGS)

migrations:
	@exec $(LAUNCHER) exec -- $(BIN)/python manage.py makemigrations $(filter-out help,$(ARGS))

# Without settings: the texts need no server.
messages:
	@$(install) requirements.lock
	$(BIN)/python -m django makemessages --all --no-obsolete --add-location=file $(addprefix --ignore=,tests bench)
	$(BIN)/python -m django compilemessages --ignore='.*'

# Each file is whole by itself. The versions of the first hold in the others; what stands in a file stays.
compile = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes --no-build \
	--annotation-style line --custom-compile-command "make lock" $(filter-out help,$(ARGS))
lock:
	@$(install) requirements-dev.lock
	$(compile) requirements.txt -o requirements.lock
	$(compile) requirements.txt requirements-observability.txt -c requirements.lock -o requirements-observability.lock
	$(compile) requirements.txt requirements-dev.txt -c requirements-observability.lock -o requirements-dev.lock
	$(compile) requirements.txt requirements-bench.txt -c requirements.lock -o requirements-bench.lock
	$(compile) requirements-embedded.txt -c requirements.lock -o requirements-embedded.lock

# Not from the environment, which has the tests' packages too.
sbom:
	@$(install) requirements-dev.lock
	$(BIN)/cyclonedx-py requirements requirements-observability.lock --pyproject pyproject.toml --output-reproducible \
		--validate --output-format JSON --output-file $(SBOM)

audit:
	@$(install) requirements-dev.lock
	@exec $(BIN)/python -m saas.launcher.audit $(filter-out help,$(ARGS))

clean:
	@test ! -x $(BIN)/python || $(LAUNCHER) clean
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
