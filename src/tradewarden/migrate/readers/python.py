"""Python, by its syntax tree: which string is given to which name, field, argument or variable of the environment.

A file that does not parse is left to the reader of unknown text.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_left
from typing import TYPE_CHECKING

from tradewarden.migrate.candidate import Candidate
from tradewarden.migrate.readers.python_names import (
    GIVEN,
    PAIRS,
    PASSED_ON,
    asked_for,
    asks,
    compares,
    dotted,
    holds_people,
    keys_of,
    name_in,
    named_by,
    positions,
    said_of,
    signs_in,
    target_name,
)
from tradewarden.migrate.readers.python_strings import Places
from tradewarden.migrate.rules.keys import Trust, trust
from tradewarden.migrate.rules.values import typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def read(text: str, line_starts: list[int], lines: Sequence[int]) -> list[Candidate] | None:
    """Return the candidates of the statements that hold one of `lines` (sorted).

    None when it is not Python that this interpreter understands.
    """
    shift = 1 if text.startswith("\ufeff") else 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text[shift:])
        starts = [0, *(start - shift for start in line_starts[1:])]
        found = list(_Reader(Places(text[shift:], starts), lines).module(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return [each._replace(start=each.start + shift, end=each.end + shift) for each in found] if shift else found


class _Reader:
    def __init__(self, places: Places, lines: Sequence[int]) -> None:
        self._places = places
        self._lines = lines
        self._readers: dict[type[ast.expr], Callable[..., Iterator[Candidate]]] = {
            ast.Constant: self._constant,
            ast.JoinedStr: self._template,
            ast.List: self._members,
            ast.Tuple: self._members,
            ast.Set: self._members,
            ast.Dict: self._dict,
            ast.Call: self._call,
            ast.BinOp: self._joined,
            ast.BoolOp: self._either,
            ast.Compare: self._compare,
            ast.NamedExpr: self._named,
            ast.Subscript: self._indexed,
            ast.IfExp: self._chosen,
        }

    def module(self, tree: ast.Module) -> Iterator[Candidate]:
        yield from self._body(tree.body, ())

    def _body(self, body: Sequence[ast.stmt], owners: tuple[str, ...]) -> Iterator[Candidate]:
        for statement in body:
            if self._worth(statement):
                yield from self._statement(statement, owners)

    def _worth(self, node: ast.stmt) -> bool:
        """Tell whether one of the lines is in a statement: most of a program is left out so."""
        place = bisect_left(
            self._lines, min((each.lineno for each in getattr(node, "decorator_list", ())), default=node.lineno)
        )
        return place < len(self._lines) and self._lines[place] <= (node.end_lineno or node.lineno)

    def _statement(self, node: ast.stmt, owners: tuple[str, ...]) -> Iterator[Candidate]:
        match node:
            case ast.ClassDef():
                yield from self._definition(node, (*owners, node.name))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self._defaults(node.args, (*owners, node.name))
                yield from self._definition(node, (*owners, node.name))
            case ast.Assign():
                for target in node.targets[:1]:
                    yield from self._assigned(target, node.value, owners)
            case ast.AnnAssign() if node.value is not None:
                yield from self._assigned(node.target, node.value, owners)
            case ast.AugAssign():
                yield from self._assigned(node.target, node.value, owners)
            case ast.Return(value=ast.expr() as value) if owners:
                yield from self._expression(value, owners[-1], owners[:-1])
            case ast.Expr(value=ast.Constant()):
                return  # a docstring
            case _:
                yield from self._inside(node, "", owners)

    def _definition(
        self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, owners: tuple[str, ...]
    ) -> Iterator[Candidate]:
        for decorator in node.decorator_list:
            yield from self._expression(decorator, "", owners)
        if isinstance(node, ast.ClassDef):
            for keyword in node.keywords:
                yield from self._expression(keyword.value, keyword.arg or "", owners)
        yield from self._body(node.body, owners)

    def _inside(self, node: ast.AST, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.stmt():
                    if self._worth(child):
                        yield from self._statement(child, owners)
                case ast.expr():
                    yield from self._expression(child, key, owners)
                case _:
                    yield from self._inside(child, key, owners)

    def _defaults(self, arguments: ast.arguments, owners: tuple[str, ...]) -> Iterator[Candidate]:
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = [
            *zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        for argument, default in pairs:
            if default is not None:
                yield from self._expression(default, argument.arg, owners)

    def _assigned(self, target: ast.expr, value: ast.expr, owners: tuple[str, ...]) -> Iterator[Candidate]:
        if isinstance(target, ast.Tuple | ast.List):
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                for one, other in zip(target.elts, value.elts, strict=True):
                    yield from self._assigned(one, other, owners)
                return
            target = ast.Name("")
        key, around = target_name(target)
        yield from self._expression(value, key, (*owners, *around))

    def _expression(self, node: ast.expr, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        return self._readers.get(type(node), self._inside)(node, key, owners)

    def _indexed(self, node: ast.Subscript, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        yield from self._expression(node.value, key, owners)

    def _chosen(self, node: ast.IfExp, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        yield from self._expression(node.test, "", owners)
        yield from self._expression(node.body, key, owners)
        yield from self._expression(node.orelse, _telling(key, asked_for(node.body)), owners)

    def _either(self, node: ast.BoolOp, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        asked = ""
        for value in node.values:
            yield from self._expression(value, _telling(key, asked), owners)
            asked = asked_for(value) or asked

    def _named(self, node: ast.NamedExpr, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        del key
        yield from self._assigned(node.target, node.value, owners)

    def _constant(self, node: ast.Constant, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        if isinstance(node.value, str | bytes):
            literal = self._places.literal(node, node.value)
            if literal is not None and literal.value:
                yield Candidate(*literal, key=key, owners=owners)

    def _template(self, node: ast.JoinedStr, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        span = self._places.span(node)
        if span is not None:
            yield Candidate(*span, value="", key=key, owners=owners, template=True)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from self._expression(part.value, "", owners)

    def _members(self, node: ast.List | ast.Tuple | ast.Set, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and key.lower().endswith(PAIRS):  # noqa: PLR2004 - a pair
            yield from self._expression(node.elts[1], "password", (*owners, key))
            return
        texts = [each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        called = keys_of(key, texts) if len(texts) == len(node.elts) else ()
        for element, name in zip(node.elts, called, strict=False):
            yield from self._expression(element, name, (*owners, key))
        for element in node.elts if not called else ():
            for each in self._expression(element, key, owners):
                yield each._replace(member=True) if each.key == key else each

    def _dict(self, node: ast.Dict, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        around = (*owners, key) if key else owners
        around = (*around, *said_of(node))
        opens, people = signs_in(node), holds_people(key)
        for name, value in zip(node.keys, node.values, strict=True):
            inner = name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else dotted(name)
            called = "token" if opens and inner in GIVEN else inner.rpartition(".")[2]
            if people and isinstance(value, ast.Constant) and isinstance(value.value, str) and typed(value.value):
                yield from self._expression(value, "password", (*around, inner))
            else:
                yield from self._expression(value, called, around)

    def _joined(self, node: ast.BinOp, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        first, last = _leftmost(node), node.right
        value = _folded(node)
        if value is not None and isinstance(first, ast.Constant) and isinstance(last, ast.Constant):
            opening = self._places.literal(first, first.value if isinstance(first.value, str) else "")
            closing = self._places.literal(last, last.value if isinstance(last.value, str) else "")
            if opening is not None and closing is not None and value:
                yield Candidate(opening.start, closing.end, value, key, owners)
            return
        yield from self._inside(node, "", owners)

    def _compare(self, node: ast.Compare, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        del key
        sides = [node.left, *node.comparators]
        names = [name for side in sides if (name := asked_for(side) or dotted(side))]
        compared = names[0].rpartition(".")[2] if names and isinstance(node.ops[0], ast.Eq | ast.NotEq) else ""
        for side in sides:
            yield from self._expression(side, compared, owners)

    def _call(self, node: ast.Call, key: str, owners: tuple[str, ...]) -> Iterator[Candidate]:
        callee = dotted(node.func)
        around = (*owners, key, callee) if key else (*owners, callee)
        around = tuple(name for name in around if name)
        if not isinstance(node.func, ast.Name):
            yield from self._expression(
                node.func.value if isinstance(node.func, ast.Attribute) else node.func, key, owners
            )
        known = positions(callee, len(node.args))
        compared = _compared(node) if compares(callee) else ""
        named = named_by(node)
        passes = not asks(callee)
        previous = ""
        for place, argument in enumerate(node.args):
            given = known.get(place) or previous or compared or (key if passes and not place else "")
            previous = name_in(argument)
            yield from self._expression(argument, given, around if place or known else owners)
        for keyword in node.keywords:
            name = keyword.arg or ""
            passed = name in PASSED_ON
            called = (_telling(named, key) or key) if passed else name
            yield from self._expression(keyword.value, called, owners if passed else around)


def _telling(key: str, asked: str) -> str:
    """Return what was asked for, where the name that the answer gets says nothing."""
    return asked if asked and trust(key) is Trust.NONE else key


def _compared(node: ast.Call) -> str:
    names = (asked_for(each) or dotted(each) for each in node.args if not isinstance(each, ast.Constant))
    return next((name.rpartition(".")[2] for name in names if name), "")


def _leftmost(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        node = node.left
    return node


def _folded(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _folded(node.left), _folded(node.right)
        return None if left is None or right is None else left + right
    return None
