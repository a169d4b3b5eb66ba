import json
import re
import stat
from uuid import uuid4

import pytest
from django.apps import apps

from accounts.models import User
from saas.operations.export import ROWS_A_QUERY, fenced_models
from tenancy.context import org_context
from tenancy.models import Organization, TenantModelBase, UndeliverableAddress
from tests.conftest import manage
from tests.isolation.test_models import both  # noqa: F401 - a fixture: one row of each model in Acme and in Globex

# What a secret may be called, and what is called so without being one.
SUSPICIOUS = re.compile("secret|password|token|hash|key|code|signature|signed|facts")
NO_SECRETS = {"email_key", "snapshot_key", "payment_key"}


def export(organization_id, path):
    return manage("export_organization", str(organization_id), str(path), check=False)


@pytest.fixture
def exported(both, tmp_path):  # noqa: F811
    done = export(both[0], tmp_path / "acme.json")
    assert done.returncode == 0, done.stderr
    return (tmp_path / "acme.json").read_text()


def test_every_row_of_the_organization_is_in_it(exported, both, owner_connection):  # noqa: F811
    written = json.loads(exported)["tables"]
    tables = [model._meta.db_table for model in apps.get_models() if isinstance(model, TenantModelBase)]
    assert {*tables, "tenancy_organization", "tenancy_supportaudit"} == written.keys()
    for table in tables:
        ids = owner_connection.execute(f"SELECT id::text FROM {table} WHERE organization_id = %s", [both[0]])
        assert {row["id"] for row in written[table]} == {row[0] for row in ids}
        assert written[table], f"nothing was proven about {table}"


def test_no_other_organizations_row_is(exported, both):  # noqa: F811
    written = json.loads(exported)
    owners = {row.get("organization_id", row["id"]) for rows in written["tables"].values() for row in rows}
    assert owners == {str(both[0])}
    assert str(both[1]) not in exported
    assert "globex" not in exported.lower()


def test_no_secret_is(exported, both):  # noqa: F811
    with org_context(both[0]):
        assert User.objects.get().password not in exported
    for rows in json.loads(exported)["tables"].values():
        for row in rows:
            assert not {name for name in row if SUSPICIOUS.search(name)} - NO_SECRETS


def test_what_is_called_a_secret_is_a_field():
    for model in fenced_models():
        for name in getattr(model, "secret_fields", ()):
            model._meta.get_field(name)


def test_texts_come_back_as_they_were(alice, tmp_path):
    name = 'Ünïcode "quoted"\\ <b>'
    with org_context(alice.organization_id):
        Organization.objects.update(name=name)
    export(alice.organization_id, tmp_path / "it.json")
    written = json.loads((tmp_path / "it.json").read_text())
    assert written["tables"]["tenancy_organization"][0]["name"] == name
    assert stat.S_IMODE((tmp_path / "it.json").stat().st_mode) == 0o600


def test_more_rows_than_a_page(alice, tmp_path):
    count = 2 * ROWS_A_QUERY + 1
    with org_context(alice.organization_id):
        UndeliverableAddress.objects.bulk_create(
            UndeliverableAddress(address=f"{number}@example.com", reason="bounced") for number in range(count)
        )
    done = manage(
        "export_organization", str(alice.organization_id), str(tmp_path / "many.json"), "--json", check=False
    )
    assert json.loads(done.stdout)["tenancy_undeliverableaddress"] == count
    rows = json.loads((tmp_path / "many.json").read_text())["tables"]["tenancy_undeliverableaddress"]
    assert len({row["address"] for row in rows}) == count


def test_an_organization_that_is_not_there(tmp_path):
    done = export(uuid4(), tmp_path / "none.json")
    assert "there is no organization" in done.stderr
    assert done.returncode == 1
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_stays(alice, tmp_path):
    (tmp_path / "it.json").write_text("mine")
    assert "is there already" in export(alice.organization_id, tmp_path / "it.json").stderr
    assert (tmp_path / "it.json").read_text() == "mine"
