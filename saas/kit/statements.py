"""Queries that differ in their values alone: Django writes their SQL once a process, and not again for each call."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, update_wrapper
from inspect import signature
from typing import Any, Generic, ParamSpec, TypeVar, cast

from django.db import connections
from django.db.models import Model, QuerySet, Value
from django.db.models.query import ModelIterable, get_related_populators

from saas.kit.postgresql.base import DatabaseWrapper
from saas.kit.postgresql.trips import First

R = TypeVar("R")
P = ParamSpec("P")


class OneRow(Generic[P, R]):
    """Makes a query of one row at most a function of the same arguments, by name, that returns the row or None.

    `build` is called once, with expressions that stand for the values to come: it may filter by them, and look
    into none.
    """

    def __init__(self, build: Callable[P, QuerySet[Any, R]]) -> None:
        update_wrapper(self, build)
        self._build = build
        self._statements: dict[str, Statement[R]] = {}

    def __call__(self, *args: P.args, **values: P.kwargs) -> R | None:
        return self._statement().one(values)

    def after(self, first: First, **values: Any) -> R | None:
        """The same after a statement that is in force for this query alone, outside of any transaction."""
        return self._statement().one(values, after=first)

    @cached_property
    def _queryset(self) -> QuerySet[Any, R]:
        stand_ins: Any = {name: Value(Parameter(name)) for name in signature(self._build).parameters}
        return cast(Any, self._build)(**stand_ins)  # type: ignore[no-any-return]

    def _statement(self) -> "Statement[R]":
        alias = self._queryset.db
        if alias not in self._statements:
            self._statements[alias] = Statement(self._queryset.using(alias))
        return self._statements[alias]


one_row = OneRow


@dataclass(frozen=True, slots=True)
class Parameter:
    """Stands in a query for the value that a call brings along."""

    name: str


class Statement(Generic[R]):
    """A query's SQL, and how its row becomes a model with those that `select_related` names, or what `values_list` says."""

    def __init__(self, queryset: QuerySet[Any, R]) -> None:
        compiler: Any = queryset.query.get_compiler(using=queryset.db)
        self._alias = queryset.db
        self._sql, self._parameters = compiler.as_sql()
        columns = [column for column, _, _ in compiler.select]
        self._converters = list(compiler.get_converters(columns).items())
        rows: Any = queryset._iterable_class
        # None for a values_list.
        self._model = queryset.model if issubclass(rows, ModelIterable) else None
        if self._model is None:
            return
        own = compiler.klass_info["select_fields"]
        self._own = slice(own[0], own[-1] + 1)
        self._fields = [column.target.attname for column in columns[self._own]]
        self._related = cast(Any, get_related_populators)(compiler.klass_info, compiler.select, self._alias)

    def one(self, values: dict[str, Any], *, after: First | None = None) -> R | None:
        connection = cast(DatabaseWrapper, connections[self._alias])
        bound = [values[p.name] if isinstance(p, Parameter) else p for p in self._parameters]
        if after is None:
            found = connection.fetch_one(self._sql, bound)
        else:
            found = connection.fetch_one_after(after, self._sql, bound)
        if found is None:
            return None
        row = list(found)
        for position, (converters, column) in self._converters:
            for convert in converters:
                row[position] = convert(row[position], column, connection)
        return cast(R, tuple(row) if self._model is None else self._model_of(self._model, row))

    def _model_of(self, kind: type[Model], row: list[Any]) -> Model:
        model = kind.from_db(self._alias, self._fields, row[self._own])
        for related in self._related:
            related.populate(row, model)
        return model
