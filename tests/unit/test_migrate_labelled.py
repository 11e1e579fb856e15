"""How well credentials are found, measured on labelled texts. The figures stand in docs/migrate.md."""

from __future__ import annotations

import time

import pytest

from tests.support.labelled import Measured, measure, texts
from tradewarden.migrate.scan import find_in

RECALL = {"tuned": 0.99, "held_out": 0.97}
PRECISION = {"tuned": 0.99, "held_out": 0.98}
PARTS = ("tuned", "held_out")


@pytest.fixture(scope="module", params=PARTS)
def measured(request: pytest.FixtureRequest) -> tuple[str, Measured]:
    """A part of the set, and what the finder did on it."""
    part: str = request.param
    return part, measure(part)


def test_recall_and_precision_are_what_is_documented(measured: tuple[str, Measured]) -> None:
    """Of the labelled credentials as many are found as the page says, and as few others."""
    part, result = measured
    print(f"{part}: {result.lines} lines, recall {result.recall:.3f}, precision {result.precision:.3f}")  # noqa: T201
    assert result.recall >= RECALL[part], result.missed
    assert result.precision >= PRECISION[part], result.wrong


def test_they_belong_where_the_label_says(measured: tuple[str, Measured]) -> None:
    """A credential goes to the secret and field that its name, and what stands around it, says."""
    _, result = measured
    assert not result.misplaced


def test_the_set_is_of_size() -> None:
    """There are enough labelled lines, in every language that is read."""
    every = [each for part in PARTS for each in texts(part)]
    assert sum(len(each.labels) + each.negatives for each in every) >= 700
    assert {each.name.rpartition(".")[2] for each in every} >= {"py", "yaml", "yml", "toml", "json", "env", "ini", "sh"}


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "A1", "-", "eyJ", "xoxb-1-", "mysql ", "redis-cli -b ", "glpat-", "key='", "://u:", "a@h,h,"),
        *("htpasswd -b ", "login -p ", "echo a | ", "--set a=", 'put("a", ', "| a ", 'variable "x" {', 'Client("'),
        *("user identified by ", '\\"a\\":', "-----BEGIN ", 'api_key("a1', "secret set A ", '["a1', "KEY=A_B="),
    ],
)
@pytest.mark.parametrize("file", ["a.py", "a.toml", "a.yaml", "a.md", "a.sh", "a.json"])
def test_no_text_takes_long(piece: str, file: str) -> None:
    """A text made to be slow to read is read in time that grows with its length."""
    began = time.process_time()
    find_in(file, "password = 1\n" + (piece * 20_000)[:20_000] + "\npassword: x")
    assert time.process_time() - began < 1
