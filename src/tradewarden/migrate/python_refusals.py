"""Where a string must stay a literal, so that a person has to change the place. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst
import libcst.matchers as m

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.migrate.python_literals import Place
    from tradewarden.migrate.python_source import PythonSource

_LISTS_OF_NAMES: Final = ("__slots__", "__all__", "__match_args__")
_TYPE_CALLS: Final = ("cast", "TypeVar", "NewType", "ForwardRef", "NamedTuple", "namedtuple", "TypedDict")
_DOCTEST: Final = ">>>"


def refusal(source: PythonSource, place: Place) -> str:
    """Return why the literal of a place must stay one, or an empty text when a call may take its place."""
    for above, part in source.ancestors(place.node):
        for look in _LOOKS:
            why = look(above, part, place)
            if why:
                return why
    return ""


def is_statement(source: PythonSource, place: Place) -> bool:
    """Tell whether the string is a statement of its own: a docstring, or a string used as a comment."""
    node: cst.CSTNode | None = place.node
    while isinstance(node, cst.BaseExpression):
        node = source.parent(node)
    return isinstance(node, cst.Expr) and isinstance(node.value, cst.BaseString)


def has_doctest(source: PythonSource, place: Place) -> bool:
    """Tell whether the string shows a session, which is run as it is written."""
    low, high = source.span(place.node)
    return _DOCTEST in source.text[low:high]


def _pattern(above: cst.CSTNode, _part: cst.CSTNode, _place: Place) -> str:
    return "a pattern of match and case must be a constant" if isinstance(above, cst.MatchPattern) else ""


def _type(above: cst.CSTNode, part: cst.CSTNode, _place: Place) -> str:
    literal = m.Subscript(value=m.Name("Literal")) | m.Subscript(value=m.Attribute(attr=m.Name("Literal")))
    typed = isinstance(above, cst.Annotation) or (m.matches(above, literal) and isinstance(part, cst.SubscriptElement))
    alias = isinstance(above, cst.AnnAssign) and m.matches(above.annotation.annotation, m.Name("TypeAlias"))
    called = m.matches(above, m.Call(func=m.OneOf(*map(m.Name, _TYPE_CALLS)))) and isinstance(part, cst.Arg)
    return "it stands in a type" if typed or alias or called else ""


def _names(above: cst.CSTNode, _part: cst.CSTNode, _place: Place) -> str:
    if not isinstance(above, cst.Assign | cst.AnnAssign | cst.AugAssign):
        return ""
    targets = [each.target for each in above.targets] if isinstance(above, cst.Assign) else [above.target]
    listed = any(isinstance(target, cst.Name) and target.value in _LISTS_OF_NAMES for target in targets)
    return "it stands in a list of names that Python reads" if listed else ""


def _template(above: cst.CSTNode, part: cst.CSTNode, place: Place) -> str:
    """A value with the signs of a template in it would be read as one."""
    percent = isinstance(above, cst.BinaryOperation) and isinstance(above.operator, cst.Modulo) and part is above.left
    if percent and "%" in place.value:
        return "it is a % template, and the value has a % in it"
    method = m.matches(above, m.Attribute(attr=m.Name("format") | m.Name("format_map")))
    return "it is a format template, and the value has a brace in it" if method and set(place.value) & set("{}") else ""


_LOOKS: Final[tuple[Callable[[cst.CSTNode, cst.CSTNode, Place], str], ...]] = (_pattern, _type, _names, _template)
