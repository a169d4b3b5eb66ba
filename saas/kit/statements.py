"""Queries that differ in their values alone: Django writes their SQL once a process, and not again for each call."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, wraps
from inspect import signature
from typing import Any, Generic, ParamSpec, TypeVar, cast

from django.db import connections
from django.db.models import Model, QuerySet, Value
from django.db.models.query import get_related_populators

from saas.kit.postgresql.base import DatabaseWrapper

M = TypeVar("M", bound=Model)
P = ParamSpec("P")


def one_row(build: Callable[P, QuerySet[M]]) -> Callable[P, M | None]:
    """Makes a query of one row at most a function of the same arguments, by name, that returns the row or None.

    `build` is called once, with expressions that stand for the values to come: it may filter by them, and look
    into none.
    """

    @cache
    def queryset() -> QuerySet[M]:
        stand_ins: Any = {name: Value(Parameter(name)) for name in signature(build).parameters}
        return cast(Any, build)(**stand_ins)  # type: ignore[no-any-return]

    @cache
    def statement(alias: str) -> Statement[M]:
        return Statement(queryset().using(alias))

    @wraps(build)
    def row(*args: P.args, **values: P.kwargs) -> M | None:
        return statement(queryset().db).one(values)

    return row


@dataclass(frozen=True, slots=True)
class Parameter:
    """Stands in a query for the value that a call brings along."""

    name: str


class Statement(Generic[M]):
    """A query's SQL, and how its row becomes a model with those that `select_related` names."""

    def __init__(self, queryset: QuerySet[M]) -> None:
        compiler: Any = queryset.query.get_compiler(using=queryset.db)
        self._alias = queryset.db
        self._sql, self._parameters = compiler.as_sql()
        columns = [column for column, _, _ in compiler.select]
        self._converters = list(compiler.get_converters(columns).items())
        own = compiler.klass_info["select_fields"]
        self._own = slice(own[0], own[-1] + 1)
        self._fields = [column.target.attname for column in columns[self._own]]
        self._related = cast(Any, get_related_populators)(compiler.klass_info, compiler.select, self._alias)
        self._model = queryset.model

    def one(self, values: dict[str, Any]) -> M | None:
        connection = cast(DatabaseWrapper, connections[self._alias])
        bound = [values[p.name] if isinstance(p, Parameter) else p for p in self._parameters]
        found = connection.fetch_one(self._sql, bound)
        return None if found is None else self._model_of(list(found), connection)

    def _model_of(self, row: list[Any], connection: Any) -> M:
        for position, (converters, column) in self._converters:
            for convert in converters:
                row[position] = convert(row[position], column, connection)
        model = self._model.from_db(self._alias, self._fields, row[self._own])
        for related in self._related:
            related.populate(row, model)
        return model
