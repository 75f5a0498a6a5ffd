"""Names in query options against the model: a filter over a property that is not there is refused before it runs."""

from collections.abc import Mapping
from typing import Any

from odata_query import ast

from holdfast.odata.csdl import Model
from holdfast.odata.errors import NotSupported
from holdfast.odata.query import nodes
from holdfast.odata.query.expression import children
from holdfast.odata.query.nodes import Expression
from holdfast.odata.query.text import BadQuery

Typed = tuple[str, bool]  # a type's qualified name, "" where none is known, and whether it is a collection


def check_expression(model: Model, type_name: str, expression: Expression, target: str) -> None:
    """Raise `BadQuery` unless every path of an expression over `type_name` leads to something."""
    try:
        _Checker(model, {nodes.THIS: (type_name, False)}).visit(expression.tree)
    except BadQuery as error:
        error.target = target
        raise


def selected(model: Model, type_name: str, way: tuple[str, ...]) -> str:
    """Return the type at the end of an item of `$select`; `*` and operations have none."""
    if way[-1] == "*" and len(way) == 1:
        return ""
    return _walked(model, type_name, way, "$select")


def navigated(model: Model, type_name: str, way: tuple[str, ...]) -> str:
    """Return the type that a navigation path of `$expand` leads to, that of `*` being none."""
    if way == ("*",):
        return ""
    *before, last = way or ("",)
    owner = _walked(model, type_name, tuple(before), "$expand")
    found = model.navigation(owner).get(last)
    if "." in last or last == "*":
        raise NotSupported(f"{'/'.join(way)[:60]} is not supported in $expand", target="$expand")
    if found is None:
        raise BadQuery(f"{owner} has no navigation property {last[:60]}", target="$expand")
    return found.type


def _walked(model: Model, type_name: str, way: tuple[str, ...], target: str) -> str:
    for name in way:
        if "." in name:
            raise NotSupported(f"{name[:60]} is not supported in {target}", target=target)
        found = _property(model, type_name, name)
        if found is None:
            raise BadQuery(f"{type_name or 'what is selected'} has no property {name[:60]}", target=target)
        type_name, _ = found
    return type_name


def _property(model: Model, owner: str, name: str) -> Typed | None:
    """Return the type of a property, None if there is no such; of an open type any name is one."""
    found = model.properties(owner).get(name) or model.navigation(owner).get(name)
    if found is not None:
        return found.type, found.collection
    return ("", False) if any(each.open_type for _, each in model.line(owner)) else None


class _Checker:
    """Walks a tree; `names` are the types of `$it` and of the variables of the lambdas around."""

    def __init__(self, model: Model, names: Mapping[str, Typed]) -> None:
        self._model, self._names = model, names

    def visit(self, node: Any) -> Typed:
        if isinstance(node, ast.Identifier):
            return self._names.get(node.name) or self._member(self._names[nodes.THIS], node.name)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.CollectionLambda):
            return self._lambda(node)
        below = node.args if isinstance(node, ast.Call) else children(node)
        for child in below:
            self.visit(child)
        return "", False

    def _member(self, owner: Typed, name: str) -> Typed:
        type_name, collection = owner
        if not type_name:
            return "", False
        found = None if collection else _property(self._model, type_name, name)
        if found is None:
            raise BadQuery(f"{'a collection of ' * collection}{type_name} has no property {name[:60]}")
        return found

    def _attribute(self, node: ast.Attribute) -> Typed:
        owner = self.visit(node.owner)
        if node.attr != "$count":
            return self._member(owner, node.attr)
        if owner[0] and not owner[1]:
            raise BadQuery("$count stands behind what is no collection")
        return "Edm.Int64", False

    def _lambda(self, node: ast.CollectionLambda) -> Typed:
        type_name, collection = self.visit(node.owner)
        if type_name and not collection:
            raise BadQuery("any and all stand behind what is no collection")
        if node.lambda_ is not None:
            name = node.lambda_.identifier.name
            _Checker(self._model, {**self._names, name: (type_name, False)}).visit(node.lambda_.expression)
        return "Edm.Boolean", False
