"""Compares what a page shows with what came. `…` in the page stands for anything."""

from __future__ import annotations

import re

import msgspec

ANYTHING = "…"


def require_same(shown: str, came: str) -> None:
    """Fail unless `came` has the shape of `shown`: JSON by keys, types and texts, anything else line by line."""
    try:
        expected = msgspec.json.decode(shown)
    except msgspec.DecodeError:
        _lines(shown, came)
        return
    try:
        actual = msgspec.json.decode(came)
    except msgspec.DecodeError:
        raise AssertionError(f"the page shows JSON, and this came: {came[:500]}") from None
    for difference in differences(expected, actual):
        raise AssertionError(f"the page shows another answer: {difference}")


def differences(shown: object, came: object, place: str = "answer") -> list[str]:
    """Return where two JSON values differ; numbers may differ in value, texts where the page has `…`."""
    if isinstance(shown, dict) and isinstance(came, dict):
        return _in_objects(shown, came, place)
    if isinstance(shown, list) and isinstance(came, list):
        return _in_arrays(shown, came, place)
    if isinstance(shown, str) and isinstance(came, str):
        same = fits(shown, came)
    else:
        same = shown == came or (type(shown) is type(came) and type(shown) in (int, float))
    return [] if same else [f"{place} is {str(came)[:80]!r}, the page has {shown!r}"]


def _in_objects(shown: dict[str, object], came: dict[str, object], place: str) -> list[str]:
    if shown.keys() != came.keys():
        return [f"{place} has {sorted(came)}, the page {sorted(shown)}"]
    return [each for key in shown for each in differences(shown[key], came[key], f"{place}.{key}")]


def _in_arrays(shown: list[object], came: list[object], place: str) -> list[str]:
    if shown == [ANYTHING]:
        return []
    if len(shown) != len(came):
        return [f"{place} has {len(came)} items, the page {len(shown)}"]
    pairs = enumerate(zip(shown, came, strict=True))
    return [each for at, (one, other) in pairs for each in differences(one, other, f"{place}[{at}]")]


def fits(pattern: str, text: str) -> bool:
    """Tell whether a text is the pattern, with anything in the place of each `…`."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split(ANYTHING))), text, re.DOTALL) is not None


def _lines(shown: str, came: str) -> None:
    """Every line of the page must come, in its order; a line of `…` alone stands for lines that are left out."""
    coming = iter(came.splitlines())
    for line in shown.splitlines():
        if line.strip() in ("", ANYTHING):
            continue
        if not any(fits(line.rstrip(), each.rstrip()) for each in coming):
            raise AssertionError(f"the page shows the line {line!r}, and it did not come:\n{came}")
