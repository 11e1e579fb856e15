"""Rewritten Python reads a value where it was written, means the same, and looks like its author wrote it."""

from __future__ import annotations

import os
import sys
from types import ModuleType

import pytest

from tests.support.moves import KEY, VALUE, finding, moves, rewritten_by
from tradewarden.migrate.finding import Destination
from tradewarden.migrate.python_proof import same_meaning
from tradewarden.migrate.rewrite_python import PythonRewriter
from tradewarden.migrate.rewriting import Move, Reading, Rewritten

_VARIABLE = "ALPHAPULSE_BINANCE_API_KEY"
BOTH = pytest.mark.parametrize("reading", list(Reading))

KEPT = {
    "constant": f"x = '{VALUE}'",
    "annotated": f'x: str = "{VALUE}"',
    "class attribute": f'class A:\n    k = "{VALUE}"\nx = A.k',
    "nested class": f'class A:\n    class B:\n        k = "{VALUE}"\nx = A.B.k',
    "dict": f'x = {{"apiKey": "{VALUE}", "n": 1}}',
    "keyword": f'x = dict(api_key="{VALUE}")',
    "default": f'def f(k="{VALUE}", *, s="{VALUE}"):\n    return k + s\nx = f()',
    "lambda default": f'x = (lambda k="{VALUE}": k)()',
    "nested function": f'def f():\n    def g():\n        return "{VALUE}"\n    return g\nx = f()()',
    "f-string": f'y = 1\nx = f"{{y}}?k={VALUE}&z={{{{}}}}"',
    "part of a string": f'x = "https://h/?a={{}}&k={VALUE}&b=%s" % 3',
    "inside an f-string": f"x = f\"{{'{VALUE}'}}!\"",
    "single-quoted f-string": f"y = 2\nx = f'{{y}}{VALUE}'",
    "triple-quoted f-string": f'y = 2\nx = f"""{{y}}\n{VALUE}\n"""',
    "raw string": rf"x = r'\d{VALUE}\w'",
    "escapes around": f'x = "\\n\\t{VALUE}\\\\"',
    "unicode string": f'x = u"{VALUE}"',
    "implicit concatenation": f'x = ("a"\n     "{VALUE}"\n     "b")',
    "explicit concatenation": f'x = "a" + "{VALUE}" + "b"',
    "bytes": f'x = b"{VALUE}"',
    "bytes in bytes": f'x = b"Bearer {VALUE}!"[1:]',
    "encoded": f'x = "{VALUE}".encode()',
    "after return": f'def f(a):\n    return"{VALUE}"if a else 0\nx = f(1)',
    "format": f'x = "{{}}:{VALUE}".format(3)',
    "decorator": f'def d(k):\n    return lambda f: k\n@d("{VALUE}")\ndef x(): pass',
    "branch": f'if True:\n    x = "{VALUE}"\nelse:\n    x = None',
    "dataclass": f'from dataclasses import dataclass\n@dataclass\nclass A:\n    k: str = "{VALUE}"\nx = A().k',
    "enum": f'import enum\nclass A(enum.Enum):\n    K = "{VALUE}"\nx = A.K.value',
    "parenthesised": f'x = (\n    "{VALUE}"  # why\n)',
    "comprehension": f'x = [a + "{VALUE}" for a in "ab"]',
    "twice in one string": f'x = "{VALUE}:{VALUE}@h{{}}"',
    "default of an unset variable": f'import os\nx = os.environ.get("NOT_SET_HERE", "{VALUE}")',
    "default of a set variable": f'import os\nx = os.getenv("PATH", "{VALUE}")',
    "tuple": f'x = ("{VALUE}",)',
    "walrus": f'x = (y := "{VALUE}") + y',
    "line continuation": f'x = "a" \\\n    "{VALUE}"',
    "non-ASCII before": f'y = "ü梅"\nx = "é{VALUE}"',
    "name os taken": f'os = 3\nx = ("{VALUE}", os)',
    "name of the reader taken": f'platform_secret = 3\nx = ("{VALUE}", platform_secret)',
    "os imported later": f'x = "{VALUE}"\nimport os',
    "os under another name": f'import os as o\nx = ("{VALUE}", o.sep)',
    "os is another import": f'from os import environ as os\nx = ("{VALUE}", len(os))',
    "os is its path": f'import os.path as os\nx = ("{VALUE}", os.sep)',
    "os by its path": f'import os.path\nx = ("{VALUE}", os.path.sep)',
    "docstring with a statement": f'"""doc""" ; import os\nx = ("{VALUE}", __doc__)',
    "os taken by a parameter": f'import os\ndef f(os):\n    return "{VALUE}"\nx = f(1)',
}
"""Programs whose `x` must stay what it is."""


def _run(text: str) -> object:
    space: dict[str, object] = {"__name__": "program"}
    sys.modules["program"] = ModuleType("program")
    try:
        exec(compile(text.removeprefix("\ufeff"), "program", "exec"), space)  # noqa: S102 - the programs above
    finally:
        del sys.modules["program"]
    return space["x"]


@pytest.fixture(autouse=True)
def _given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, _VARIABLE, VALUE)
    monkeypatch.setattr(
        "tradewarden.secrets.shared.platform_secret", lambda name, field="": {KEY: VALUE}[Destination(name, field)]
    )


@BOTH
@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_program_computes_what_it_did(name: str, reading: Reading, newline: str, mark: str) -> None:
    """Run before and after, every form gives the same, and the value is gone from the text."""
    text = mark + KEPT[name].replace("\n", newline) + newline
    after, result = rewritten_by(PythonRewriter(reading), text, moves(text))
    assert not result.by_hand
    assert VALUE not in after
    assert after.startswith(mark)
    assert newline == "\n" or "\n" not in after.replace("\r\n", "")
    assert _run(after) == _run(text)


@BOTH
@pytest.mark.parametrize("name", KEPT)
def test_a_second_run_finds_nothing_to_do(name: str, reading: Reading) -> None:
    """What was rewritten stays as it is."""
    after, _ = rewritten_by(PythonRewriter(reading), KEPT[name], moves(KEPT[name]))
    assert rewritten_by(PythonRewriter(reading), after, moves(after))[0] == after


LEFT = {
    "a pattern of match": (f'match x:\n    case "{VALUE}": pass', "match and case"),
    "a Literal type": (f'from typing import Literal\nx: Literal["{VALUE}"]', "type"),
    "an annotation": (f'def f(x: "{VALUE}"): pass', "type"),
    "slots": (f'class A:\n    __slots__ = ("{VALUE}",)', "list of names"),
    "a doctest": (f'def f():\n    """Doc.\n\n    >>> f("{VALUE}")\n    """', "doctest"),
    "a format specification": (f'x = f"{{1:{VALUE}}}"', "format specification"),
    "nested f-strings with both quotes": (f"x = f\"{{f'{{1}}{VALUE}'}}\"", "quotation marks"),
    "no Python": (f'print "{VALUE}"', "Python 3"),
    "too deep": (f'x = {"(" * 3000}"{VALUE}"{")" * 3000}', "Python 3"),
}


@BOTH
@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_said_is_left_with_a_reason(name: str, reading: Reading) -> None:
    """A place where a literal must stand is not touched; the reason says why."""
    text, why = LEFT[name]
    after, result = rewritten_by(PythonRewriter(reading), text, moves(text))
    assert after == text
    assert why in result.by_hand[0].why
    assert VALUE not in repr(result)


@pytest.mark.parametrize(("value", "text"), [("Kx8%sjdkLq", '"{}" % 3'), ("Kx8{a}dkLq", '"{}".format(a=3)')])
def test_a_value_that_is_read_as_a_template_is_left(value: str, text: str) -> None:
    """A % or a brace in the value would mean something else once it is read."""
    program = f"x = {text.replace('{}', f'k={value}', 1)}"
    after, result = rewritten_by(PythonRewriter(Reading.ENVIRON), program, moves(program, value))
    assert after == program
    assert "template" in result.by_hand[0].why


def test_comments_and_docstrings_name_the_variable() -> None:
    """Text that nobody runs gets the reference."""
    text = f'def f():\n    """Uses {VALUE}."""\n    return 1  # not {VALUE}\n'
    after, _ = rewritten_by(PythonRewriter(Reading.PROVIDER), text, moves(text))
    assert after == text.replace(VALUE, f"${{{_VARIABLE}}}")


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ('x = "Kx82" "jdkLq7Zm"', VALUE, 'Kx82" "jdkLq7Zm'),
        ('x = ("Kx82"\n     "jdkLq7Zm")', VALUE, 'Kx82"\n     "jdkLq7Zm'),
        ('x = "Kx82" + "jdkLq7Zm"', VALUE, 'Kx82" + "jdkLq7Zm'),
        ('x = """-----BEGIN-----\nabc\n-----END-----\n"""', "-----BEGIN-----\nabc\n-----END-----", ""),
        ('x = "-----BEGIN-----\\nabc\\n"', "-----BEGIN-----\nabc\n", "-----BEGIN-----\\nabc\\n"),
    ],
)
def test_values_that_are_written_in_pieces_are_put_together(text: str, value: str, written: str) -> None:
    """Joined literals, escapes and several lines give one value."""
    move = Move(finding(text, value, written=written), KEY)
    after, result = rewritten_by(PythonRewriter(Reading.ENVIRON), text, [move])
    assert not result.by_hand
    os.environ[_VARIABLE] = value
    assert _run(after) == _run(text)


@pytest.mark.parametrize(
    ("head", "after"),
    [
        ("", "import os\n\n"),
        ('"""Doc."""\n\n', '"""Doc."""\n\nimport os\n\n'),
        ("#!/usr/bin/python\n# coding: utf-8\n", "#!/usr/bin/python\n# coding: utf-8\nimport os\n\n"),
        (
            '"""Doc."""\nfrom __future__ import annotations\n\n',
            '"""Doc."""\nfrom __future__ import annotations\n\nimport os\n\n',
        ),
        (
            "import json\nimport sys\nfrom abc import ABC\n\nimport yaml\n\n",
            "import json\nimport os\nimport sys\nfrom abc import ABC\n\nimport yaml\n\n",
        ),
        ("import sys\nimport json\n\n", "import sys\nimport json\nimport os\n\n"),
        ("import yaml\n\n", "import os\n\nimport yaml\n\n"),
        ("import os\n\n", "import os\n\n"),
        ("from os import environ\n\n", "import os\nfrom os import environ\n\n"),
    ],
)  # fmt: skip
def test_the_import_stands_where_its_kind_stands(head: str, after: str) -> None:
    """After docstring and `__future__`, with its group, in its order, and only when it is missing."""
    text = f'{head}KEY = "{VALUE}"\n'
    came, _ = rewritten_by(PythonRewriter(Reading.ENVIRON), text, moves(text))
    assert came == f'{after}KEY = os.environ["{_VARIABLE}"]\n'


@pytest.mark.parametrize(
    ("head", "after"),
    [
        ("import os\n\nimport ccxt\nimport zmq\n\n", "import os\n\nimport ccxt\nimport zmq\n{}\n\n"),
        ("import ccxt\nfrom yaml import load\n\n", "import ccxt\n{}\nfrom yaml import load\n\n"),
        ("from . import base\n\n", "{}\n\nfrom . import base\n\n"),
        ("import os\n\n", "import os\n\n{}\n\n"),
    ],
)
def test_the_reader_is_imported_with_what_is_installed(head: str, after: str) -> None:
    """It goes with third-party imports; before relative ones."""
    text = f'{head}KEY = "{VALUE}"\n'
    came, _ = rewritten_by(PythonRewriter(Reading.PROVIDER), text, moves(text))
    line = "from tradewarden.secrets.shared import platform_secret"
    assert came.rpartition("KEY")[0].rstrip("\n") == after.format(line).rstrip("\n")


def test_a_default_is_still_read_only_when_it_is_needed() -> None:
    """With the variable set, nobody asks for the secret."""
    text = f'import os\nx = os.environ.get("PATH", "{VALUE}")\n'
    after, _ = rewritten_by(PythonRewriter(Reading.ENVIRON), text, moves(text))
    del os.environ[_VARIABLE]
    assert _run(after) == os.environ["PATH"]


def test_a_default_of_the_very_variable_becomes_the_read() -> None:
    """`os.environ.get` of the variable that now holds the value needs no default."""
    text = f'import os\nx = os.environ.get("{_VARIABLE}", "{VALUE}")\n'
    after, _ = rewritten_by(PythonRewriter(Reading.ENVIRON), text, moves(text))
    assert after == f'import os\nx = os.environ["{_VARIABLE}"]\n'


@pytest.mark.parametrize(
    "after",
    [
        'import os\nx = os.environ["ALPHAPULSE_BINANCE_API_SECRET"]\n',
        'import os\nx = os.environ["ALPHAPULSE_BINANCE_API_KEY"] + "a"\n',
        'import os\ny = os.environ["ALPHAPULSE_BINANCE_API_KEY"]\n',
        'import os\nfrom os import environ as os\nx = os.environ["ALPHAPULSE_BINANCE_API_KEY"]\n',
        "x = ",
    ],
)
def test_the_proof_sees_what_is_not_the_same(after: str) -> None:
    """Another variable, another text, another name or no Python: not the same meaning."""
    assert not same_meaning(f'x = "{VALUE}"\n', after, {_VARIABLE: VALUE})


LOADS = {
    "yaml": ("import yaml\nx = yaml.safe_load(open('c/feeds.yaml'))", "resolved(yaml.safe_load(open('c/feeds.yaml')))"),
    "json text": (
        "import json\nfrom pathlib import Path\nx = json.loads(Path('feeds.yaml').read_text())",
        "resolved(json.loads(Path('feeds.yaml').read_text()))",
    ),
    "handle": (
        "import json\nwith open('feeds.yaml') as f:\n    x = json.load(f)['a']",
        "resolved(json.load(f))['a']",
    ),
    "yaml documents": (
        "import yaml\nx = list(yaml.safe_load_all(open('feeds.yaml')))",
        "list(resolved(yaml.safe_load_all(open('feeds.yaml'))))",
    ),
}


@pytest.mark.parametrize("name", LOADS)
def test_a_module_that_loads_a_rewritten_file_resolves_it(name: str) -> None:
    """The call that can be seen to load it is wrapped, once."""
    text, expected = LOADS[name]
    rewriter = PythonRewriter(Reading.PROVIDER, ["feeds.yaml"])
    after, _ = rewritten_by(rewriter, text, [])
    assert expected in after
    assert not rewriter.open
    assert "from tradewarden.secrets.references import resolved" in after
    assert rewriter.resolving == {"feeds.yaml"}
    assert rewritten_by(PythonRewriter(Reading.PROVIDER, ["feeds.yaml"]), after, [])[0] == after


@pytest.mark.parametrize(
    "text",
    [
        "import json\nF = 'feeds.yaml'\nx = json.loads(response.text)",
        "import json\nx = json.load(open('other.yaml'))",
        "F = 'feeds.yaml'\nx = load(F)",
    ],
)
def test_what_comes_from_elsewhere_is_never_resolved(text: str) -> None:
    """An answer of a server, another file, an unknown function: whoever writes them could ask for secrets."""
    rewriter = PythonRewriter(Reading.PROVIDER, ["feeds.yaml"])
    assert rewritten_by(rewriter, text, [])[0] == text
    assert not rewriter.resolving


INI = {
    "its own": ("p = ConfigParser()\np.read('keys.ini')", "p = ConfigParser(interpolation=References())"),
    "raw": ("p = RawConfigParser()\np.read('keys.ini')", "p = RawConfigParser(interpolation=References(plain=True))"),
    "none": (
        "p = ConfigParser(interpolation=None, strict=False)\np.read('keys.ini')",
        "p = ConfigParser(interpolation=References(plain=True), strict=False)",
    ),
    "in a function": (
        "def a():\n    p = ConfigParser()\n    p.read('keys.ini')\ndef b():\n    p = ConfigParser()\n    p.read('o')",
        "def b():\n    p = ConfigParser()\n",
    ),
    "by a constant": (
        "F = 'keys.ini'\nq = ConfigParser()\nq.read('other.ini')\np = ConfigParser()\np.read(F)",
        "q = ConfigParser()\nq.read('other.ini')\np = ConfigParser(interpolation=References())",
    ),
}


@pytest.mark.parametrize("name", INI)
def test_a_parser_of_a_rewritten_ini_file_resolves_it(name: str) -> None:
    """With the interpolation that it had, and only the parser that reads the file."""
    text, expected = INI[name]
    rewriter = PythonRewriter(Reading.PROVIDER, ["keys.ini"])
    after, _ = rewritten_by(rewriter, f"from configparser import ConfigParser, RawConfigParser\n{text}\n", [])
    assert expected in after
    assert after.count("References(") == 1
    assert (rewriter.resolving, rewriter.open) == ({"keys.ini"}, {})


@pytest.mark.parametrize(
    "text",
    [
        "p = ConfigParser(interpolation=ExtendedInterpolation())\np.read('keys.ini')",
        "p = ConfigParser()\np.read(['other.ini', 'keys.ini'])\nq = ConfigParser()\nq.read(sys.argv[1])",
        "open_config('keys.ini')",
    ],
)
def test_a_parser_that_was_not_rewritten_is_told(text: str) -> None:
    """Whoever reads the file there would get the reference itself."""
    rewriter = PythonRewriter(Reading.PROVIDER, ["keys.ini"])
    rewriter(f"from configparser import *\n{text}\n", [], result := Rewritten(), "bots/a.py")
    assert rewriter.open["keys.ini"][0].startswith("bots/a.py")
    assert not any("keys" in edit.text for edit in result.edits)
