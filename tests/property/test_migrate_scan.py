"""The finder on arbitrary texts: it never fails, and its places are exact."""

from __future__ import annotations

import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.labelled import made
from tradewarden.migrate.finding import Finding
from tradewarden.migrate.rules.values import placeholder
from tradewarden.migrate.scan import find_in

FILES = (
    "a.py",
    "a.yaml",
    "a.toml",
    "a.json",
    ".env",
    "a.ini",
    "a.sh",
    "Dockerfile",
    "docker-compose.yml",
    "a.md",
    "a.js",
)
PIECES = st.sampled_from(
    [
        *(
            "api_key",
            "password",
            "SECRET",
            "token",
            "binance",
            "name",
            "value",
            "export ",
            "ENV ",
            "def f(",
            "class A:",
            "- ",
        ),
        *(
            "=",
            ": ",
            ":",
            " = ",
            '"',
            "'",
            '"""',
            "'''",
            "`",
            "\n",
            "\r\n",
            "\r",
            "\t",
            "  ",
            "#",
            "//",
            "{",
            "}",
            "[",
            "]",
        ),
        *(
            "(",
            ")",
            ",",
            "\\",
            "|\n",
            ">",
            "f",
            "b",
            "r",
            "\ufeff",
            "é",
            "😀",
            "\0",
            "\x0c",
            "\u2028",
            "İ",
            "$",
            "${",
            "}}",
            "@",
        ),
        *("postgresql://u:", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "Bearer ", "os.environ.get("),
        *(
            made("alnum64", "p"),
            made("mixed32", "p"),
            made("fernet", "p"),
            made("telegram", "p"),
            "s3cr3t-Pa55",
            "hunter22",
        ),
        *(
            "tradewarden: allow because",
            "pragma: allowlist secret",
            "host=db password=",
            "eyJhbGciOiJIUzI1NiJ9.",
            "--api-key ",
        ),
    ]
)
SOUP = st.lists(PIECES | st.text(max_size=12), max_size=60).map("".join)
VALUES = st.sampled_from(
    [made("mixed32", "q"), made("alnum64", "q"), made("b64_88", "q"), "Zx9!vault", 'q"uo\\te9Z', "ümläut-9Z"]
)


def _filled(value: str) -> bool:
    return not placeholder(value)


@pytest.mark.parametrize("file", FILES)
@given(text=SOUP)
def test_any_text_is_read(file: str, text: str) -> None:
    """Whatever a file holds, reading it ends, and every place lies in it, on its line, beside all others."""
    found = find_in(file, text)
    _check(text, found)


@given(text=SOUP, value=VALUES, file=st.sampled_from(FILES))
def test_no_name_is_a_credential(text: str, value: str, file: str) -> None:
    """What is shown of a finding never holds a value that was found."""
    for one in find_in(file, f'{text}\npassword = "{value}"\n{value}: {value}\n'):
        if len(one.value.reveal()) >= 32:
            assert one.value.reveal() not in (one.key, one.rule, one.destination.name, one.destination.field)
            assert one.value.reveal() not in repr(one)


@given(
    before=st.text(max_size=40).filter(str.isprintable), value=VALUES, quote=st.sampled_from(["'", '"', '"""', "'''"])
)
def test_python_places_are_exact(before: str, value: str, quote: str) -> None:
    """A literal's place encloses its inside, whatever stands before it on the line."""
    text = f"{before!r}; POLYGON_API_KEY = {_literal(value, quote)}\r\nx = 1\n"
    for one in [each for each in find_in("a.py", text) if each.key == "POLYGON_API_KEY"]:
        around = text[one.start - len(quote) : one.end + len(quote)]
        assert ast.literal_eval(around) == value == one.value.reveal()


@given(before=st.text(max_size=40), value=VALUES)
def test_json_places_are_exact(before: str, value: str) -> None:
    """A JSON text's place encloses what means its value."""
    text = json.dumps({"note": before, "db": {"password": value}}, ensure_ascii=False)
    found = [each for each in find_in("a.json", text) if each.key == "password"]
    assert [json.loads(f'"{text[each.start : each.end]}"') for each in found] == [value] * len(found)
    assert all(each.value.reveal() == value for each in found)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("a.yaml", "db:\n  password: {}\n"),
        (".env", "# x\nDB_PASSWORD={}\n"),
        ("a.ini", "[db]\npassword = {}\n"),
        ("a.toml", "[db]\npassword = '{}'\n"),
        ("a.sh", "export DB_PASSWORD='{}'\n"),
        ("Dockerfile", "FROM x\nENV DB_PASSWORD={}\n"),
        ("docker-compose.yml", "services:\n  a:\n    environment:\n      - DB_PASSWORD={}\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@given(value=st.from_regex(r"[BDG][bdfghk]{3,5}[2-9]{3}[bdfghk!+]{3,9}", fullmatch=True).filter(_filled))
def test_places_are_exact(file: str, line: str, end: str, value: str) -> None:
    """In every format the place encloses the value alone, with either line end."""
    text = line.format(value).replace("\n", end)
    (one,) = find_in(file, text)
    assert text[one.start : one.end] == value == one.value.reveal()
    assert (one.destination.name, one.destination.field) == ("database_credentials", "password")


def _literal(value: str, quote: str) -> str:
    inside = value.replace("\\", "\\\\").replace(quote[0], f"\\{quote[0]}")
    return f"{quote}{inside}{quote}"


def _check(text: str, found: list[Finding]) -> None:
    last = 0
    for one in found:
        assert last <= one.start < one.end <= len(text)
        last = one.end
        assert 1 <= one.line <= text.count("\n") + text.count("\r") + 1
        assert one.value.reveal()
        assert one.destination.name
