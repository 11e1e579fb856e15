"""One import more in a Python file: where it goes, and under which name. Pure.

It is put with others of its kind (standard library, installed, relative), in their order where they have one, after the
docstring and `from __future__` lines.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import libcst as cst
import libcst.matchers as m
import msgspec

from tradewarden.migrate.edit import Edit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tradewarden.migrate.python_source import PythonSource


class Kind(IntEnum):
    """The groups of imports, in the order in which they stand."""

    FUTURE = 0
    STANDARD = 1
    INSTALLED = 2
    RELATIVE = 3


class Import(msgspec.Struct, frozen=True):
    """`import module`, or with a `name` `from module import name`."""

    module: str
    name: str = ""

    @property
    def bound(self) -> str:
        """The name that the import binds."""
        return self.name or self.module

    def line(self, alias: str) -> str:
        """Return the statement."""
        what = f"from {self.module} import {self.name}" if self.name else f"import {self.module}"
        return what if alias == self.bound else f"{what} as {alias}"


class _Line(msgspec.Struct, frozen=True):
    """An import that stands at the head of the file."""

    kind: Kind
    key: tuple[bool, str]
    node: cst.SimpleStatementLine


def imported(source: PythonSource, wanted: Import, first_use: int) -> tuple[str, list[Edit]]:
    """Return the name to use for what is imported, and the edit that imports it (none when the file does already)."""
    present = _present(source, wanted, first_use)
    if present:
        return present, []
    alias = _free_name(source, wanted)
    return alias, [_added(source, wanted, alias, first_use)]


def _present(source: PythonSource, wanted: Import, first_use: int) -> str:
    """Return the name under which the module imports it already, before it is used, and which means nothing else."""
    for statement in _top_lines(source):
        if source.span(statement)[0] < first_use:
            for small in statement.body:
                name = _binding(small, wanted)
                if name and name not in _bound_otherwise(source, wanted):
                    return name
    return ""


def _binding(statement: cst.BaseSmallStatement, wanted: Import) -> str:
    if isinstance(statement, cst.Import) and not wanted.name:
        names: Sequence[cst.ImportAlias] = statement.names
        looked_for = wanted.module
    elif (
        isinstance(statement, cst.ImportFrom)
        and not isinstance(statement.names, cst.ImportStar)
        and _dotted(statement.module) == wanted.module
        and not statement.relative
    ):
        names, looked_for = statement.names, wanted.name
    else:
        return ""
    for alias in names:
        if _dotted(alias.name) == looked_for:
            return alias.asname.name.value if alias.asname and isinstance(alias.asname.name, cst.Name) else looked_for
    return ""


def _free_name(source: PythonSource, wanted: Import) -> str:
    taken = _bound_otherwise(source, wanted)
    if wanted.name:
        taken |= {node.value for node in source.nodes(cst.Name)}
    candidates = [wanted.bound, f"_{wanted.bound}", *(f"_{wanted.bound}_{number}" for number in range(2, 100))]
    return next(name for name in candidates if name not in taken)


def _bound_otherwise(source: PythonSource, wanted: Import) -> set[str]:
    """Return every name that anything but an import of what is wanted binds, anywhere in the file."""
    names = {name for alias in source.nodes(cst.ImportAlias) if (name := _bound_to_another(source, alias, wanted))}
    for node in source.nodes(cst.Name):
        above = source.parent(node)
        if (isinstance(above, cst.Param | cst.FunctionDef | cst.ClassDef) and above.name is node) or _is_target(
            source, node
        ):
            names.add(node.value)
    return names


def _bound_to_another(source: PythonSource, alias: cst.ImportAlias, wanted: Import) -> str:
    """Return the name that a part of an import binds to something else than what is wanted, or nothing."""
    statement, said = source.parent(alias), _dotted(alias.name)
    named = alias.asname.name.value if alias.asname and isinstance(alias.asname.name, cst.Name) else ""
    if isinstance(statement, cst.ImportFrom):
        same = _dotted(statement.module) == wanted.module and not statement.relative and said == wanted.name
        return "" if same else named or said
    bound = said if named else said.split(".", maxsplit=1)[0]  # `import os.path` binds `os`
    return "" if not wanted.name and bound == wanted.module else named or bound


def _is_target(source: PythonSource, node: cst.Name) -> bool:
    for above, part in source.ancestors(node):
        if isinstance(above, cst.AssignTarget | cst.NameItem):
            return True
        if isinstance(above, cst.AnnAssign | cst.AugAssign | cst.For | cst.CompFor | cst.NamedExpr):
            return part is above.target
        if isinstance(above, cst.AsName):
            return not isinstance(source.parent(above), cst.ImportAlias)
        if isinstance(above, cst.MatchAs | cst.MatchStar):
            return part is above.name
        if not isinstance(above, cst.Tuple | cst.List | cst.Element | cst.StarredElement):
            return False
    return False


def _added(source: PythonSource, wanted: Import, alias: str, first_use: int) -> Edit:
    line = wanted.line(alias)
    kind = _kind(wanted.module, relative=False)
    head = list(_head(source, first_use))
    group = _group(source, [each for each in head if each.kind is kind])
    if group:
        return _into(source, group, line, (bool(wanted.name), wanted.module))
    before = [each for each in head if each.kind < kind]
    after = [each for each in head if each.kind > kind]
    gap = source.newline
    if before:
        return _below(source, before[-1].node, f"{gap}{line}{gap}")
    if after:
        at = source.span(after[0].node)[0]
        return Edit(at, at, f"{line}{gap}{gap}")
    return _alone(source, line)


def _group(source: PythonSource, lines: list[_Line]) -> list[_Line]:
    """Return the first run of lines that stand together without an empty line between."""
    group: list[_Line] = lines[:1]
    for each in lines[1:]:
        between = source.text[source.span(group[-1].node)[1] : source.span(each.node)[0]]
        if any(not line.strip() for line in between.split("\n")[1:-1]):
            break
        group.append(each)
    return group


def _into(source: PythonSource, group: list[_Line], line: str, key: tuple[bool, str]) -> Edit:
    keys = [each.key for each in group]
    if keys == sorted(keys):
        smaller = [each for each in group if each.key < key]
        if not smaller:
            at = source.span(group[0].node)[0]
            return Edit(at, at, f"{line}{source.newline}")
        return _below(source, smaller[-1].node, f"{line}{source.newline}")
    return _below(source, group[-1].node, f"{line}{source.newline}")


def _below(source: PythonSource, statement: cst.CSTNode, text: str) -> Edit:
    """Return the edit that puts whole lines below a statement, its trailing comment kept."""
    end = source.text.find("\n", source.span(statement)[1])
    if end < 0:
        return Edit(len(source.text), len(source.text), f"{source.newline}{text}")
    return Edit(end + 1, end + 1, text)


def _alone(source: PythonSource, line: str) -> Edit:
    """Return the edit for a file without imports: below its docstring, else above its first statement."""
    gap = source.newline
    body = source.module.body
    if body and _is_docstring(body[0]):
        return _below(source, body[0], f"{gap}{line}{gap}")
    at = source.span(body[0])[0] if body else len(source.text)
    # The comment right above a first statement belongs to it, unless it is the file's own (#! or coding).
    while (above := source.text[:at].rstrip(" \t").removesuffix("\n").removesuffix("\r")) and _is_comment(above):
        at = above.rfind("\n") + 1
    return Edit(at, at, f"{line}{gap}{gap}")


def _is_comment(above: str) -> bool:
    last = above[above.rfind("\n") + 1 :].lstrip("\N{ZERO WIDTH NO-BREAK SPACE}").strip()
    return last.startswith("#") and not last.startswith("#!") and "coding" not in last and "icense" not in last


def _head(source: PythonSource, first_use: int) -> Iterator[_Line]:
    """Give the imports at the head of the module, above where the name is used; the first other statement ends it."""
    for number, statement in enumerate(source.module.body):
        if number == 0 and _is_docstring(statement):
            continue
        if source.span(statement)[1] > first_use:
            return
        if not isinstance(statement, cst.SimpleStatementLine):
            if isinstance(statement, cst.Try) or m.matches(statement, _TYPE_CHECKING):
                continue
            return
        if not all(isinstance(small, cst.Import | cst.ImportFrom) for small in statement.body):
            return
        yield _line(statement)


_TYPE_CHECKING: Final = m.If(test=m.OneOf(m.Name("TYPE_CHECKING"), m.Attribute(attr=m.Name("TYPE_CHECKING"))))


def _line(statement: cst.SimpleStatementLine) -> _Line:
    first = statement.body[0]
    if isinstance(first, cst.ImportFrom):
        module = _dotted(first.module)
        return _Line(_kind(module, relative=bool(first.relative)), (True, module), statement)
    assert isinstance(first, cst.Import)  # noqa: S101 - `_head` looked
    module = _dotted(first.names[0].name)
    return _Line(_kind(module, relative=False), (False, module), statement)


def _kind(module: str, *, relative: bool) -> Kind:
    if relative:
        return Kind.RELATIVE
    if module == "__future__":
        return Kind.FUTURE
    return Kind.STANDARD if module.split(".", maxsplit=1)[0] in sys.stdlib_module_names else Kind.INSTALLED


def _is_docstring(statement: cst.CSTNode) -> bool:
    docstring = m.Expr(m.SimpleString() | m.ConcatenatedString())
    return m.matches(statement, m.SimpleStatementLine(body=[docstring, m.ZeroOrMore()]))


def _top_lines(source: PythonSource) -> Iterator[cst.SimpleStatementLine]:
    return (statement for statement in source.module.body if isinstance(statement, cst.SimpleStatementLine))


def _dotted(node: cst.CSTNode | None) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""
