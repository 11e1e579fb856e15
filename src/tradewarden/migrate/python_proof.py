"""Whether a rewritten Python file means what it meant: both are read, what reads a value counts as that value. Pure."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.finding import Destination
from tradewarden.migrate.slots import variable_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARK: Final = "\N{ZERO WIDTH NO-BREAK SPACE}"
_IMPORTED: Final = ("os", "tradewarden.secrets.shared", "tradewarden.secrets.references")
_READER: Final = "platform_secret"
_RESOLVER: Final = "resolved"
_INTERPOLATION: Final = "References"
_RAW: Final = "RawConfigParser"


def same_meaning(before: str, after: str, values: Mapping[str, str]) -> bool:
    """Tell whether `after` is `before` with values read; `values` gives the value of each variable.

    Compared are the syntax trees, with what reads a value put back to it, joined and formatted strings put together,
    and the imports that rewriting adds left out of both.
    """
    try:
        trees = [ast.parse(text.removeprefix(_MARK)) for text in (before, after)]
        compile(trees[1], "rewritten", "exec", dont_inherit=True)
        documented = [ast.get_docstring(tree) is not None for tree in trees]
        old, new = (ast.dump(_Read(values, _names_of_os(tree)).visit(tree)) for tree in trees)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return old == new and documented[0] == documented[1]


def _names_of_os(tree: ast.AST) -> frozenset[str]:
    """Return the names that mean the module `os` wherever they stand: no other import, assignment or parameter."""
    ours: set[str] = set()
    others: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for each in names:
                    bound = each.name if each.asname else each.name.split(".", maxsplit=1)[0]
                    (ours if bound == "os" else others).add(each.asname or bound)
            case ast.ImportFrom(names=names):
                others.update(each.asname or each.name for each in names)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                others.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                others.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                others.add(name)
    return frozenset(ours - others)


class _Read(ast.NodeTransformer):
    """Puts every value in the place of what reads it."""

    def __init__(self, values: Mapping[str, str], os_names: frozenset[str]) -> None:
        self._values = values
        self._os_names = os_names

    def visit_Module(self, node: ast.Module) -> ast.AST:
        self.generic_visit(node)
        node.body = [statement for statement in node.body if not _is_added(statement)]
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value = node.value
        if isinstance(value, str):
            for variable, secret in self._values.items():
                value = value.replace(f"${{{variable}}}", secret)
        return ast.Constant(value)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        match node.value:
            case ast.Attribute(value=ast.Name(id=name), attr="environ") if name in self._os_names:
                return self._of(_text(node.slice)) or node
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id=name), args=[loaded], keywords=[]) if name.endswith(_RESOLVER):
                return loaded
            case ast.Call(func=ast.Name(id=name), args=[], keywords=given) if name.endswith(_INTERPOLATION):
                # Plain ones stand for no interpolation at all, others for the parser's own.
                return ast.Constant(None) if given else ast.Constant(...)
            case ast.Call(keywords=given) if any(each.arg == "interpolation" for each in given):
                node.keywords = [each for each in given if not _is_default(node.func, each)]
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if _READER in name:
                return self._of(variable_of(Destination(*map(_text, arguments)))) or node
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="encode"), args=[], keywords=[]):
                return ast.Constant(text.encode())
            case ast.Call(
                func=ast.Attribute(attr="getenv") | ast.Attribute(value=ast.Attribute(attr="environ"), attr="get"),
                args=[ast.Constant(value=str(variable)), default],
            ):
                return self._defaulted(variable, default)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        match node.test:
            case ast.Compare(
                left=ast.Constant(value=str(variable)), ops=[ast.In()], comparators=[ast.Attribute(attr="environ")]
            ):
                return self._defaulted(variable, node.orelse)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        pieces: list[ast.expr] = []
        for each in node.values:
            plain = isinstance(each, ast.FormattedValue) and each.conversion == -1 and each.format_spec is None
            piece = each.value if plain and isinstance(each, ast.FormattedValue) else each
            if not isinstance(piece, ast.Constant):
                piece = each
            elif pieces and isinstance(last := pieces[-1], ast.Constant):
                pieces[-1] = ast.Constant(f"{last.value!s}{piece.value!s}")
                continue
            pieces.append(piece)
        if all(isinstance(piece, ast.Constant) for piece in pieces):
            return pieces[0] if pieces else ast.Constant("")
        return ast.JoinedStr(pieces)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.BinOp(left=ast.Constant(value=str(one)), op=ast.Add(), right=ast.Constant(value=str(other))):
                return ast.Constant(one + other)
            case ast.BinOp(left=ast.Constant(value=bytes(one)), op=ast.Add(), right=ast.Constant(value=bytes(other))):
                return ast.Constant(one + other)
        return node

    def _of(self, variable: str) -> ast.Constant | None:
        return ast.Constant(self._values[variable]) if variable in self._values else None

    def _defaulted(self, variable: str, default: ast.expr) -> ast.AST:
        if isinstance(default, ast.Constant) and default.value == self._values.get(variable):
            return default
        return ast.Call(ast.Name("getenv"), [ast.Constant(variable), default], [])


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_default(parser: ast.expr, given: ast.keyword) -> bool:
    """Tell whether a keyword of a parser says what it would do without."""
    raw = _RAW in (getattr(parser, "id", ""), getattr(parser, "attr", ""))
    default = None if raw else ...
    return given.arg == "interpolation" and isinstance(given.value, ast.Constant) and given.value.value is default


def _is_added(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return statement.module in _IMPORTED
    return isinstance(statement, ast.Import) and all(alias.name in _IMPORTED for alias in statement.names)
