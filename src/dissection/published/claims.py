"""Evaluate a claim, a comparison in Python syntax, on published values or on those of a run.

    judge("places205.conv5.object > imagenet.conv5.object", values)   # Verdict("holds", "36 > 21")

Names are dotted paths into the values; `E.<id>.<path>` reaches the values of another entry.
Nothing is executed: the syntax tree is walked, and only the operations and functions listed here
are known. A claim that needs a number which is not there is not tested, and its verdict names it.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

HOLDS, FAILS, UNTESTED = "holds", "does not hold", "not tested"

OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min, "max": max, "sum": sum, "abs": abs, "len": len, "round": round,
    "vals": lambda mapping: list(mapping.values()),
    "argmax": lambda mapping: max(mapping, key=mapping.__getitem__),
    "argmin": lambda mapping: min(mapping, key=mapping.__getitem__),
    "nonincreasing": lambda values: all(a >= b for a, b in pairwise(values)),
    "nondecreasing": lambda values: all(a <= b for a, b in pairwise(values)),
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """outcome: HOLDS, FAILS or UNTESTED; detail: the claim with its numbers, or what is missing."""

    outcome: str
    detail: str


def judge(expression: str, values: Mapping, others: Mapping | None = None) -> Verdict:
    """
    expression: the claim's `expr`; values: nested mapping of this entry;
    others: entry id -> its values, for `E`. Raises ValueError if it is not in the grammar.
    """
    tree = ast.parse(expression, mode="eval").body
    paths = {ast.unparse(node): node for node in _paths(tree)}
    found = {path: _look_up(path, values, others or {}) for path in paths}
    missing = [path for path, value in found.items() if _absent(value)]
    if missing:
        return Verdict(UNTESTED, f"no value for {', '.join(missing)}")
    try:
        outcome = HOLDS if _evaluate(tree, found) else FAILS
    except ZeroDivisionError:
        return Verdict(UNTESTED, f"{_plug_in(expression, tree, found)} divides by zero")
    return Verdict(outcome, _plug_in(expression, tree, found))


def _paths(node: ast.AST) -> Iterable[ast.expr]:
    """The outermost dotted names below `node`, function names excepted."""
    if isinstance(node, ast.Name | ast.Attribute):
        yield node
        return
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.Call) and child is node.func):
            yield from _paths(child)


def _look_up(path: str, values: Mapping[str, Any], others: Mapping[str, Any]) -> Any:
    names = path.split(".")
    value: Any = values
    if names[0] == "E":
        value, names = others, names[1:]
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _absent(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not value or any(map(_absent, value.values()))
    if isinstance(value, list):
        return any(map(_absent, value))
    return value is None or (isinstance(value, float) and math.isnan(value))


def _evaluate(node: ast.AST, found: Mapping[str, Any]) -> Any:
    def value(child: ast.AST) -> Any:
        return _evaluate(child, found)

    match node:
        case ast.Constant(value=int() | float() | str() as constant):
            return constant
        case ast.Name() | ast.Attribute():
            return found[ast.unparse(node)]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [value(item) for item in items]
        case ast.BinOp(left=left, op=op, right=right) if _known(op):
            return OPERATIONS[type(op)](value(left), value(right))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -value(operand)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not value(operand)
        case ast.BoolOp(op=op, values=terms):
            return (all if isinstance(op, ast.And) else any)([value(term) for term in terms])
        case ast.Compare(left=left, ops=ops, comparators=rights) if all(map(_known, ops)):
            pairs = pairwise([value(term) for term in (left, *rights)])
            return all(OPERATIONS[type(op)](a, b) for op, (a, b) in zip(ops, pairs, strict=True))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](*map(value, arguments))
    raise ValueError(f"not in the grammar of claims: {ast.unparse(node)}")


def _known(operation: ast.AST) -> bool:
    return type(operation) in OPERATIONS


def _plug_in(expression: str, tree: ast.AST, found: Mapping[str, Any]) -> str:
    """The expression with each path replaced by its value."""
    for node in sorted(_paths(tree), key=lambda n: n.col_offset, reverse=True):
        value = show(found[ast.unparse(node)])
        expression = expression[: node.col_offset] + value + expression[node.end_col_offset :]
    return expression


def show(value: Any) -> str:
    """A value as a reader wants it: four significant digits, thousands set apart."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(show, value)) + "]"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{int(value):,}" if abs(value) >= 1e4 else str(int(value))
