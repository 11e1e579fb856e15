"""Text that others chose cannot steer a terminal."""

from __future__ import annotations

import json

import pytest

from tradewarden.cli.terminal import clean, clean_json, json_for

STEERING = ["\x1b[31m", "\x9b2J", "\x07", "\x7f", "\u202e", "\u2066", "\u200b", "\ud800", "\r"]


@pytest.mark.parametrize("text", STEERING)
def test_clean_takes_out_what_steers(text: str) -> None:
    """Escape sequences, C1 controls, bells, bidirectional marks and lone surrogates are replaced."""
    shown = clean(f"before{text}after")
    assert text[0] not in shown
    assert shown.startswith("before")
    assert shown.endswith("after")


def test_clean_keeps_lines_only_where_they_belong() -> None:
    """A line end is text in a value, and a forged line anywhere else."""
    assert clean("a\nb") != "a\nb"
    assert clean("a\n\tb", lines=True) == "a\n\tb"


def test_clean_cuts_what_is_too_long() -> None:
    """A text without end does not flood the terminal."""
    assert clean("x" * 10_000, most=10) == "x" * 10 + "…"


def test_clean_keeps_other_languages() -> None:
    """Letters of any script are shown as they are."""
    assert clean("Zürich 東京 ключ") == "Zürich 東京 ключ"


def test_clean_json_means_the_same() -> None:
    """JSON with raw C1 and bidirectional characters reads the same after cleaning, and holds none of them."""
    value = {"a": "x\x9b\u202ey\x7f", "b": ["ü"]}
    text = clean_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value
    assert "\x9b" not in text
    assert "\u202e" not in text
    assert "ü" in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_written_in_any_encoding(encoding: str) -> None:
    """What an encoding has no letter for is escaped, also beyond the first plane; the rest stays as it is."""
    value = {"name": "Zürich 東京 𝄞", "plain": "a"}
    written = json_for(encoding, json.dumps(value, ensure_ascii=False)).encode(encoding)
    assert json.loads(written.decode(encoding)) == value
    assert ("東京".encode() in written) is (encoding == "utf-8")
