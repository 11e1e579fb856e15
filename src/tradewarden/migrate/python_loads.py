"""Where a Python file loads a configuration file that now holds references, and can be seen to. Pure.

It can be seen when the module itself names the file and reads a local file: `json.load(f)`, `yaml.safe_load(f)`,
and `loads` of `….read_text()` or `….read()`. What came from elsewhere is never resolved: who sends it could ask for
secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst
import libcst.matchers as m

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.migrate.python_source import PythonSource

_MODULES: Final = ("json", "yaml", "toml", "tomllib", "tomli", "ujson", "orjson")
_FROM_FILE: Final = ("load", "safe_load", "full_load")
_FROM_TEXT: Final = ("loads", "load", "safe_load", "full_load")
_READS: Final = m.Call(func=m.Attribute(attr=m.OneOf(*map(m.Name, ("read_text", "read_bytes", "read", "open")))))
_OPENS: Final = m.Call(func=m.Name("open"))
_INI: Final = m.Call(
    func=m.OneOf(
        m.Attribute(value=m.Name("configparser"), attr=m.OneOf(m.Name("ConfigParser"), m.Name("RawConfigParser"))),
        m.Name("ConfigParser"),
        m.Name("RawConfigParser"),
    )
)
_INI_SUFFIXES: Final = (".ini", ".cfg", ".conf")


def named_files(source: PythonSource, files: Iterable[str]) -> set[str]:
    """Return those of `files` (names without a directory) that a string of the module ends with."""
    strings = [node.value.rstrip("'\"") for node in source.nodes(cst.SimpleString)]
    strings += [node.value for node in source.nodes(cst.FormattedStringText)]
    return {file for file in files if any(text.endswith((f"/{file}", f'"{file}', f"'{file}")) for text in strings)}


def loads(source: PythonSource, named: Iterable[str]) -> list[tuple[int, int]]:
    """Return where the module may load one of the files it names: each call whose result is to be resolved."""
    if not any(not file.endswith(_INI_SUFFIXES) for file in named):
        return []
    return sorted(source.span(call) for call in source.nodes(cst.Call) if _is_load(source, call))


def ini_parsers(source: PythonSource, named: Iterable[str]) -> list[cst.Call]:
    """Return the calls that make a parser of INI files, without an interpolation of their own."""
    if not any(file.endswith(_INI_SUFFIXES) for file in named):
        return []
    return [
        call
        for call in source.nodes(cst.Call)
        if m.matches(call, _INI)
        and not any(m.matches(each, m.Arg(keyword=m.Name("interpolation"))) for each in call.args)
    ]


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
