"""Where a Python file loads a configuration file that now holds references, and can be seen to. Pure.

It can be seen when the module itself names the file and reads a local file: `json.load(f)`, `yaml.safe_load(f)`,
and `loads` of `….read_text()` or `….read()`; of parsers of INI files, when it is that file which they read. What came
from elsewhere is never resolved: who sends it could ask for secrets. What looks like a load and is not one of these
(`unseen`) is told to a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst
import libcst.matchers as m

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.migrate.python_source import PythonSource

_MODULES: Final = ("json", "yaml", "toml", "tomllib", "tomli", "ujson", "orjson")
_FROM_FILE: Final = ("load", "safe_load", "full_load", "load_all", "safe_load_all", "full_load_all")
_FROM_TEXT: Final = ("loads", *_FROM_FILE)
_LOADS: Final = frozenset({*_FROM_TEXT, "unsafe_load", "unsafe_load_all", "decode", "raw_decode"})
_READS: Final = m.Call(func=m.Attribute(attr=m.OneOf(*map(m.Name, ("read_text", "read_bytes", "read", "open")))))
_OPENS: Final = m.Call(func=m.Name("open"))
_INI: Final = m.Call(
    func=m.OneOf(
        m.Attribute(value=m.Name("configparser"), attr=m.OneOf(m.Name("ConfigParser"), m.Name("RawConfigParser"))),
        m.Name("ConfigParser"),
        m.Name("RawConfigParser"),
    )
)
_RAW: Final = "RawConfigParser"
_RAW_GET: Final = m.Arg(keyword=m.Name("raw"), value=m.Name("True"))
_INI_READS: Final = ("read", "read_file", "read_string", "readfp")
_INI_SUFFIXES: Final = (".ini", ".cfg", ".conf")


def named_files(source: PythonSource, files: Iterable[str]) -> set[str]:
    """Return those of `files` (names without a directory) that a string of the module ends with."""
    strings = [node.value.rstrip("'\"") for node in source.nodes(cst.SimpleString)]
    strings += [node.value for node in source.nodes(cst.FormattedStringText)]
    return {file for file in files if any(text.endswith((f"/{file}", f'"{file}', f"'{file}")) for text in strings)}


def partly_named(source: PythonSource, files: Iterable[str]) -> set[str]:
    """Return those of `files` with which a text ends that is put together: `f"{folder}keys.yaml"`."""
    texts = [node.value for node in source.nodes(cst.FormattedStringText)]
    return {file for file in files if any(text.rstrip().endswith(file) for text in texts)}


def loads(source: PythonSource, named: Iterable[str]) -> list[tuple[int, int]]:
    """Return where the module may load one of the files it names: each call whose result is to be resolved."""
    if not any(not file.endswith(_INI_SUFFIXES) for file in named):
        return []
    return sorted(source.span(call) for call in source.nodes(cst.Call) if _is_load(source, call))


def ini_parsers(source: PythonSource, named: Iterable[str]) -> list[cst.Call]:
    """Return the calls that make a parser of one of the INI files that the module names.

    Left out are parsers with an interpolation of their own, and those that read another file or not only this one.
    """
    files = [file for file in named if file.endswith(_INI_SUFFIXES)]
    parsers = [call for call in source.nodes(cst.Call) if m.matches(call, _INI)] if files else []
    alone = len(parsers) == 1
    return [
        call
        for call in parsers
        if is_plain(call) is not None and _reads(source, call, files) in ((True, None) if alone else (True,))
    ]


def is_plain(parser: cst.Call) -> bool | None:
    """Tell whether a parser leaves a % alone; None when it has an interpolation of its own, ours among them."""
    given = interpolation(parser)
    if given is None:
        return m.matches(parser.func, m.Name(_RAW) | m.Attribute(attr=m.Name(_RAW)))
    return True if m.matches(given.value, m.Name("None")) else None


def interpolation(parser: cst.Call) -> cst.Arg | None:
    """Return the argument that says how a parser puts values in."""
    return next((each for each in parser.args if each.keyword and each.keyword.value == "interpolation"), None)


def unseen(source: PythonSource, named: Iterable[str]) -> list[int]:
    """Return the offsets of what may load one of the files that the module names, and is not rewritten.

    The offset 0 stands for a module that names the file and shows no load of it at all.
    """
    files = set(named)
    ini = {file for file in files if file.endswith(_INI_SUFFIXES)}
    found: list[int] = []
    seen = 0
    for call in source.nodes(cst.Call):
        at = source.span(call)[0]
        if m.matches(call, _INI) and ini:
            done = call in ini_parsers(source, ini) or _is_ours(call)
            seen += done
            # One that reads another file is nothing to tell; one that reads this file and has its own way is.
            if not done and _reads(source, call, sorted(ini)) is not False:
                found.append(at)
        elif ini and any(m.matches(each, _RAW_GET) for each in call.args):
            found.append(at)
        elif _called(call) in _LOADS and files - ini:
            done = _is_load(source, call) or _is_resolved(source, call)
            seen += done
            if not done:
                found.append(at)
    return found or ([] if seen else [0])


def _called(call: cst.Call) -> str:
    function = call.func.attr if isinstance(call.func, cst.Attribute) else call.func
    return function.value if isinstance(function, cst.Name) else ""


def _is_ours(parser: cst.Call) -> bool:
    given = interpolation(parser)
    return given is not None and m.matches(given.value, m.Call(func=m.Name("References") | m.Name("_References")))


def _reads(source: PythonSource, parser: cst.Call, files: Iterable[str]) -> bool | None:
    """Tell whether a parser reads one of the files; None when it cannot be seen what it reads."""
    statement = source.parent(parser)
    if isinstance(statement, cst.AnnAssign):
        target: cst.BaseExpression = statement.target
    elif isinstance(statement, cst.Assign) and len(statement.targets) == 1:
        target = statement.targets[0].target
    else:
        return None
    name, scope = _code(source, target), _scope(source, target)
    arguments = [
        call.args[0].value
        for call in source.nodes(cst.Call)
        if isinstance(call.func, cst.Attribute)
        and _code(source, call.func.value) == name
        and call.func.attr.value in _INI_READS
        and call.args
        and _scope(source, call.func.value) is scope
    ]
    texts = [_texts(source, each) for each in arguments]
    if any(text.endswith(file) for each in texts for text in each for file in files):
        return True
    return False if texts and all(texts) else None


def _scope(source: PythonSource, name: cst.BaseExpression) -> cst.CSTNode | None:
    """Return the function that binds a name where it stands; None for the module, and for attributes."""
    if not isinstance(name, cst.Name):
        return None
    targets = [each.target for each in source.nodes(cst.AssignTarget)]
    targets += [each.target for each in source.nodes(cst.AnnAssign)]
    for above, _ in source.ancestors(name):
        if isinstance(above, cst.FunctionDef) and any(
            _code(source, target) == name.value and _inside(source, target, above) for target in targets
        ):
            return above
    return None


def _texts(source: PythonSource, node: cst.BaseExpression) -> list[str]:
    """Return the strings that an expression is made of, names of the module looked up once."""
    named = {part.value for part in source.nodes(cst.Name) if _inside(source, part, node)}
    values = [
        each.value
        for each in source.nodes(cst.Assign)
        if isinstance(each.targets[0].target, cst.Name) and each.targets[0].target.value in named
    ]
    return [
        string.raw_value
        for string in source.nodes(cst.SimpleString)
        if any(_inside(source, string, each) for each in (node, *values))
    ]


def _inside(source: PythonSource, part: cst.CSTNode, whole: cst.CSTNode) -> bool:
    (start, end), (low, high) = source.span(part), source.span(whole)
    return low <= start and end <= high


def _code(source: PythonSource, node: cst.CSTNode) -> str:
    return source.text[slice(*source.span(node))]


def _is_load(source: PythonSource, call: cst.Call) -> bool:
    function = call.func
    if not (isinstance(function, cst.Attribute) and isinstance(function.value, cst.Name) and call.args):
        return False
    if function.value.value not in _MODULES or _is_resolved(source, call):
        return False
    argument = call.args[0].value
    reads = m.matches(argument, _READS | _OPENS)
    handle = isinstance(argument, cst.Name) and function.attr.value in _FROM_FILE
    return (reads and function.attr.value in _FROM_TEXT) or handle


def _is_resolved(source: PythonSource, call: cst.Call) -> bool:
    argument = source.parent(call)
    above = source.parent(argument) if isinstance(argument, cst.Arg) else None
    return above is not None and m.matches(above, m.Call(func=m.Name("resolved") | m.Name("_resolved")))
