"""System checks: models and tasks that the fence could not hold are refused before they reach a migration."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db import models
from procrastinate.contrib.django import app

from tenancy.fence import Fence
from tenancy.models import TenantModelBase

# Tables of libraries that hold nothing of an organization, or that the app role has no rights on.
UNFENCED_APPS = {"contenttypes", "auth", "procrastinate", "django_prometheus"}
# What `tenancy.defer_job` takes.
PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_tenant_models(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    return [message for model in apps.get_models(include_auto_created=True) for message in _problems(model)]


def _problems(model: type[models.Model]) -> Iterator[CheckMessage]:
    if not model._meta.managed or model._meta.proxy or model._meta.app_label in UNFENCED_APPS:
        return
    if not any(isinstance(constraint, Fence) for constraint in model._meta.constraints):
        yield Error(
            f"{model._meta.label} is not fenced.",
            hint="Subclass tenancy.models.TenantModel; a many-to-many field needs an explicit `through` that does.",
            obj=model,
            id="tenancy.E001",
        )
    if any(isinstance(parent, TenantModelBase) for parent in model._meta.parents):
        yield Error(
            f"{model._meta.label} inherits from a concrete tenant model, so its own table has no organization.",
            hint="Inherit from an abstract base, or refer to the other model with a foreign key.",
            obj=model,
            id="tenancy.E002",
        )
    for name in _texts_indexed_over_all(model):
        yield Error(
            f"{model._meta.label}.{name} is indexed over all organizations: injected SQL could read it through that.",
            hint="Index it behind `organization`, or make it unique with tenancy.fence.unique_everywhere.",
            obj=model,
            id="tenancy.E006",
        )
    if not isinstance(model, TenantModelBase):
        yield from _references_into_tenant_tables(model)


def _texts_indexed_over_all(model: type[models.Model]) -> set[str]:
    fields = model._meta.local_fields
    first = {field.name for field in fields if field.unique or field.db_index}  # type: ignore[attr-defined]
    uniques = [item for item in model._meta.constraints if isinstance(item, models.UniqueConstraint)]
    first.update(together[0] for together in model._meta.unique_together)
    for index in (*model._meta.indexes, *uniques):
        first.update(index.fields[:1])
    texts = {field.name for field in fields if isinstance(field, models.CharField | models.TextField)}
    # A descending field is written with a minus.
    return texts & {name.removeprefix("-") for name in first}


def _references_into_tenant_tables(model: type[models.Model]) -> Iterator[CheckMessage]:
    for field in model._meta.local_fields:
        if isinstance(field.related_model, TenantModelBase):
            yield Error(
                f"{model._meta.label}.{field.name} refers to a tenant model from outside the fence.",
                hint="Make the model a TenantModel too.",
                obj=field,
                id="tenancy.E003",
            )


def check_tasks(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """A task that is neither kind is refused by the worker, and a name that is not plain by the database."""
    return [message for name, task in app.tasks.items() for message in _task_problems(name, task.func)]


def _task_problems(name: str, function: Any) -> Iterator[CheckMessage]:
    if not hasattr(function, "for_organization") and not hasattr(function, "for_platform"):
        yield Error(
            f"Task {name!r} is neither an organization's nor the platform's.",
            hint="Declare it with tenancy.jobs.organization_task or platform_task.",
            id="tenancy.E004",
        )
    if not PLAIN_NAME.fullmatch(name):
        yield Error(
            f"Task name {name!r} is not plain.",
            hint="Name it with small letters, digits and underscores alone.",
            id="tenancy.E005",
        )
