"""Rewritten configuration holds a reference where it held a value, and every other byte as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.moves import KEY, VALUE, finding, moves
from tradewarden.migrate.documents import holds_the_same, load_ini, load_json, load_toml, load_yaml
from tradewarden.migrate.edit import Edit, edited
from tradewarden.migrate.finding import Language
from tradewarden.migrate.quoting import Quoting, quoting_at
from tradewarden.migrate.rewriters import rewrite
from tradewarden.migrate.rewriting import Move, Rewritten

_NAME = "ALPHAPULSE_BINANCE_API_KEY"
_REF = f"${{{_NAME}}}"
_MUST = f"${{{_NAME}:?}}"
_PEM = "-----BEGIN X-----\nabcd\n-----END X-----"

CASES: dict[str, tuple[Language, str, str]] = {
    "yaml plain": (Language.YAML, f"a:\n  k: {VALUE}   # c\n", f'a:\n  k: "{_REF}"   # c\n'),
    "yaml double": (Language.YAML, f'k: "{VALUE}"\r\nb: 1\r\n', f'k: "{_REF}"\r\nb: 1\r\n'),
    "yaml single": (Language.YAML, f"k: '{VALUE}'\n", f"k: '{_REF}'\n"),
    "yaml anchor": (Language.YAML, f"k: &a {VALUE}\nb: *a\n", f'k: &a "{_REF}"\nb: *a\n'),
    "yaml flow": (Language.YAML, f"x: {{k: {VALUE}, n: 1}}\n", f'x: {{k: "{_REF}", n: 1}}\n'),
    "yaml flow, in a URL": (Language.YAML, f"x: [a://b:{VALUE}@c]\n", f'x: ["a://b:{_REF}@c"]\n'),
    "yaml in a URL": (Language.YAML, f"x: a://b:{VALUE}@c\n", f"x: a://b:{_REF}@c\n"),
    "yaml folded": (Language.YAML, f"k: >-\n  {VALUE}\nb: 1\n", f'k: "{_REF}"\nb: 1\n'),
    "yaml block": (Language.YAML, f"k: |\n  {VALUE}\n\nb: 1\n", f'k: "{_REF}\\n"\n\nb: 1\n'),
    "yaml script": (Language.YAML, f"k: |\n  run {VALUE}\n  end\n", f"k: |\n  run {_REF}\n  end\n"),
    "yaml comment": (Language.YAML, f"a: 1 # {VALUE}\n", f"a: 1 # {_REF}\n"),
    "yaml template": (Language.YAML, f"a: {{{{ .x }}}}\nk: '{VALUE}'\n", f"a: {{{{ .x }}}}\nk: '{_REF}'\n"),
    "yaml documents": (Language.YAML, f"a: 1\n---\nk: {VALUE}\n", f'a: 1\n---\nk: "{_REF}"\n'),
    "yaml tag": (Language.YAML, f"k: !x {VALUE}\n", f'k: !x "{_REF}"\n'),
    "yaml mark": (Language.YAML, f"\ufeffk: {VALUE}\n", f'\ufeffk: "{_REF}"\n'),
    "compose list": (Language.COMPOSE, f"e:\n  - K={VALUE}\n", f"e:\n  - K={_MUST}\n"),
    "compose map": (Language.COMPOSE, f"e:\n  K: {VALUE}\n", f'e:\n  K: "{_MUST}"\n'),
    "toml": (Language.TOML, f'# c\nk = "{VALUE}"\n[a]\n', f'# c\nk = "{_REF}"\n[a]\n'),
    "toml literal": (Language.TOML, f"k = '{VALUE}'", f"k = '{_REF}'"),
    "toml lines": (Language.TOML, f'k = """\n{VALUE}"""\n', f'k = """\n{_REF}"""\n'),
    "json": (Language.JSON, f'{{"k" : "{VALUE}",\r\n"n":1.0}}', f'{{"k" : "{_REF}",\r\n"n":1.0}}'),
    "json with comments": (Language.JSON, f'{{// c\n"k": "{VALUE}",}}', f'{{// c\n"k": "{_REF}",}}'),
    "env": (Language.ENV, f"K={VALUE}\nB=1\n", f"K={_REF}\nB=1\n"),
    "env export": (Language.ENV, f'export K="{VALUE}" # c\n', f'export K="{_REF}" # c\n'),
    "env single": (Language.ENV, f"K='{VALUE}'\r\n", f'K="{_REF}"\r\n'),
    "env in a URL": (Language.ENV, f"K=a://b:{VALUE}@c\n", f"K=a://b:{_REF}@c\n"),
    "env itself": (
        Language.ENV, f"\ufeff{_NAME}='{VALUE}'\nB=1\n", f"\ufeff# {_NAME} is set outside of this file\nB=1\n"
    ),
    "ini": (Language.INI, f"[a]\nk = {VALUE}\n; {VALUE}\n", f"[a]\nk = {_REF}\n; {_REF}\n"),
    "shell": (Language.SHELL, f"export K={VALUE}; x\n", f'export K="{_MUST}"; x\n'),
    "shell double": (Language.SHELL, f'K="a {VALUE}"\n', f'K="a {_MUST}"\n'),
    "shell single": (Language.SHELL, f"x -H 'k: {VALUE}'\n", f"x -H 'k: '\"{_MUST}\"''\n"),
    "shell whole": (Language.SHELL, f"K='{VALUE}'\n", f'K="{_MUST}"\n'),
    "shell comment": (Language.SHELL, f"x # it's {VALUE}\n", f"x # it's {_REF}\n"),
    "shell here-document": (Language.SHELL, f"cat <<EOF\n'{VALUE}'\nEOF\n", f"cat <<EOF\n'{_MUST}'\nEOF\n"),
    "dockerfile arg": (Language.DOCKERFILE, f"FROM a\nARG K={VALUE}\n", "FROM a\nARG K\n"),
    "dockerfile env": (
        Language.DOCKERFILE, f"ENV K={VALUE}\nRUN x\n", "# K: given to the container when it starts\nRUN x\n"
    ),
    "dockerfile old env": (
        Language.DOCKERFILE, f"ENV K {VALUE}\r\nRUN x\r\n", "# K: given to the container when it starts\r\nRUN x\r\n"
    ),
    "dockerfile first of many": (Language.DOCKERFILE, f"ENV K={VALUE} B=2\n", "ENV B=2\n"),
    "dockerfile between": (
        Language.DOCKERFILE, f'ENV A=1 \\\n  K="{VALUE}" \\\n  B=2\n', "ENV A=1 \\\n  B=2\n"
    ),
    "dockerfile last": (Language.DOCKERFILE, f"ENV A=1 \\\n  K={VALUE}\n", "ENV A=1\n"),
    "prose": (Language.OTHER, f"# Key\n\nIt is {VALUE}.\n", f"# Key\n\nIt is {_REF}.\n"),
}  # fmt: skip


def _rewritten(text: str, language: Language, file: str = "notes.md", value: str = VALUE) -> tuple[str, Rewritten]:
    result = rewrite(text, language, moves(text, value, language=language, file=file))
    return edited(text, result.edits), result


@pytest.mark.parametrize("name", CASES)
def test_a_value_becomes_what_its_format_reads(name: str) -> None:
    """Only the value changes, and a second run finds nothing."""
    language, text, expected = CASES[name]
    after, result = _rewritten(text, language)
    assert after == expected
    assert not result.by_hand
    assert _rewritten(after, language)[0] == after


LEFT = {
    "a quoted here-document": (Language.SHELL, f"cat <<'EOF'\n{VALUE}\nEOF\n", "a", "here-document"),
    "a build step": (Language.DOCKERFILE, f"RUN curl -u a:{VALUE} b\n", "Dockerfile", "build secret"),
    "a key file": (Language.OTHER, f"{VALUE}\n", "server.pem", "not rewritten"),
    "a notebook": (Language.JSON, f'{{"source": ["k = \\"{VALUE}\\""]}}', "a.ipynb", "notebook"),
    "what Compose expands": (Language.COMPOSE, f"e:\n  K: ab$${VALUE}\n", "c.yml", "of which Compose"),
    "what the shell expands": (Language.SHELL, f'K="{VALUE}$USER"\n', "a.sh", "something else"),
    "what dotenv expands": (Language.ENV, f"K={VALUE}$$USER\n", ".env", "of which some readers"),
    "a plain value of a template": (Language.YAML, f"{{% if a %}}\nk: {VALUE}\n", "a", "one YAML value"),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_has_no_form_is_left_with_a_reason(name: str) -> None:
    """The file stays, and the reason says what it is."""
    language, text, file, why = LEFT[name]
    written = next(
        (part for part in text.replace('"', " ").replace("=", " ").split() if VALUE in part and "$" in part), VALUE
    )
    after, result = _rewritten(text, language, file, written)
    assert after == text
    assert why in result.by_hand[0].why


def test_a_percent_sign_is_no_value_for_ini() -> None:
    """Readers of INI files take it for a sign of their own."""
    after, result = _rewritten("[a]\nk = ab%cd99xx\n", Language.INI, value="ab%cd99xx")
    assert "ab%cd99xx" in after
    assert "%" in result.by_hand[0].why


def test_a_key_in_a_block_is_replaced_whole() -> None:
    """A PEM in a block keeps its last line end, written out."""
    text = "a:\n  key: |\n    -----BEGIN X-----\n    abcd\n    -----END X-----\n  b: 1\n"
    written = "-----BEGIN X-----\n    abcd\n    -----END X-----"
    result = rewrite(text, Language.YAML, [Move(finding(text, _PEM, language=Language.YAML, written=written), KEY)])
    after = edited(text, result.edits)
    assert after == f'a:\n  key: "{_REF}\\n"\n  b: 1\n'
    assert yaml.safe_load(after.replace(_REF, _PEM.replace("\n", "\\n"))) == yaml.safe_load(text)


def test_a_workflow_takes_the_secrets_of_its_repository() -> None:
    """On GitHub no shell fills in a variable; the duty says what must be set there."""
    text = f"env:\n  K: {VALUE}\n"
    after, result = _rewritten(text, Language.YAML, ".github/workflows/ci.yml")
    assert after == f'env:\n  K: "${{{{ secrets.{_NAME} }}}}"\n'
    assert _NAME in result.duties[0]


def test_a_place_that_is_not_the_value_changes_nothing() -> None:
    """An edit after which the file would hold something else is not made: here it would eat the next key."""
    text = f'{{"k": "{VALUE}", "b": 1}}'
    whole = f'{VALUE}", "b": 1'
    result = rewrite(text, Language.JSON, [Move(finding(text, VALUE, language=Language.JSON, written=whole), KEY)])
    assert edited(text, result.edits) == text
    assert "hold the same" in result.by_hand[0].why


@pytest.mark.parametrize(
    ("before", "after", "load"),
    [
        ("a: 1\nk: v\n", "a: 1\nk: w\n", load_yaml),
        ('{"k": "v"}', '{"k": "v", "b": 1}', load_json),
        ("k = 'v'", "k = 'v", load_toml),
        ("[a]\nk = v\n", "[b]\nk = v\n", load_ini),
    ],
)
def test_a_document_that_is_another_is_seen(before: str, after: str, load: object) -> None:
    """A changed value, a new key, a broken file, another section."""
    assert holds_the_same(before, before, {}, load)  # type: ignore[arg-type]
    assert not holds_the_same(before, after, {}, load)  # type: ignore[arg-type]


def test_a_file_of_aliases_of_aliases_takes_no_time() -> None:
    """Twenty lines that stand for a billion values are compared once each."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    text = "\n".join([*lines, f"k: {VALUE}", ""])
    after, result = _rewritten(text, Language.YAML)
    assert not result.by_hand
    assert _REF in after


SHELL = f"""#!/bin/sh
A={VALUE}
B="x {VALUE} y" # don't
C='{VALUE}'
D='a "{VALUE}" b'
cat <<EOF
"{VALUE}' it's
EOF
E=\\'{VALUE}
printf '%s\\n' "$A" "$B" "$C" "$D" "$E"
"""


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_a_shell_prints_what_it_printed(tmp_path: Path) -> None:
    """Run before and after, and it stops when the variable is not there."""
    after, _ = _rewritten(SHELL, Language.SHELL)
    assert VALUE not in after

    def run(script: str, **given: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], **given}
        return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)

    assert run(after, **{_NAME: VALUE}).stdout == run(SHELL).stdout
    assert run(SHELL).stdout.count(VALUE) == 6
    assert run(after).returncode != 0


@pytest.mark.parametrize(
    ("text", "quoting"),
    [
        ("a X", Quoting.BARE),
        ("a 'b X'", Quoting.SINGLE),
        ('a "b X"', Quoting.DOUBLE),
        ("'a' X", Quoting.BARE),
        ("a \\' X", Quoting.BARE),
        ('"a \\" X"', Quoting.DOUBLE),
        ("a # 'X", Quoting.COMMENT),
        ("a#b 'X'", Quoting.SINGLE),
        ("# it's\nX", Quoting.BARE),
        ("cat <<E\nit's X\nE\n", Quoting.HEREDOC),
        ("cat <<-'E' | b\nX\nE\n", Quoting.QUOTED_HEREDOC),
        ("cat <<E # it's\nX\nE\n", Quoting.HEREDOC),
        ("cat <<A <<B\n1\nA\nX\nB\n", Quoting.HEREDOC),
        ("cat <<E\n'\nE\nX", Quoting.BARE),
    ],
)
def test_how_a_place_is_quoted(text: str, quoting: Quoting) -> None:
    """As the shell sees it."""
    assert quoting_at(text, text.index("X"))[0] is quoting


def test_edits_that_overlap_are_refused() -> None:
    """Nothing is guessed about two changes of one place."""
    with pytest.raises(Exception, match="overlap"):
        edited("abcdef", [Edit(0, 3, "x"), Edit(2, 4, "y")])
