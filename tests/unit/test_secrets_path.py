"""Secret paths are checked and never repaired."""

from __future__ import annotations

import pytest

from tradewarden.errors import InvalidInputError
from tradewarden.secrets.path import path_prefix, secret_path

GOOD = [
    "a",
    "store",
    "database/primary",
    "API_keys/Binance.us/key@2+x=1,~ -z",
    "a b/c",
    "...",
    "a/..b",
    "/".join("x" * 32),
    "x" * 255,
    "x" * 255 + "/" + "y" * 255,
]
BAD = {
    "": "segment 1 is empty",
    "/a": "segment 1 is empty",
    "a/": "segment 2 is empty",
    "a//b": "segment 2 is empty",
    ".": "segment 1 is a dot segment",
    "a/..": "segment 2 is a dot segment",
    "../a": "segment 1 is a dot segment",
    "a/./b": "segment 2 is a dot segment",
    " a": "segment 1 starts or ends with a space",
    "a/b ": "segment 2 starts or ends with a space",
    "a /b": "segment 1 starts or ends with a space",
    "a\\b": "segment 1 has a character other",
    "a%2Fb": "segment 1 has a character other",
    "a/*": "segment 2 has a character other",
    "a\n": "segment 1 has a character other",
    "a/b\x00": "segment 2 has a character other",
    "ключ": "segment 1 has a character other",
    "\ud800": "segment 1 has a character other",
    "x" * 256: "segment 1 is longer than 255",
    "/".join("x" * 33): "more than 32 segments",
    "/".join(["x" * 200] * 3): "longer than 512",
}


@pytest.mark.parametrize("path", GOOD)
def test_a_good_path_is_returned_as_it_is(path: str) -> None:
    """A path of allowed segments comes back unchanged."""
    assert secret_path(path) == path
    assert path_prefix(path) == path


@pytest.mark.parametrize(("path", "mistake"), BAD.items())
def test_a_bad_path_is_refused_with_its_mistake(path: str, mistake: str) -> None:
    """A path that is not one is refused, and the message says what is wrong and where."""
    with pytest.raises(InvalidInputError, match=mistake):
        secret_path(path)


@pytest.mark.parametrize("prefix", ["/", "//", "a//", "*", "é", "a\n", "x" * 513])
def test_a_prefix_that_no_path_starts_with_is_refused(prefix: str) -> None:
    """A prefix must be the beginning of some path."""
    with pytest.raises(InvalidInputError):
        path_prefix(prefix)


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "api_keys/"])
def test_a_prefix_may_end_anywhere(prefix: str) -> None:
    """A prefix may end inside a segment or at its end."""
    assert path_prefix(prefix) == prefix
