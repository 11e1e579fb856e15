"""Whether characters follow each other as they do in words. Pure.

Half of all pairs of letters hardly ever occur in words and identifiers; in what a generator made, half of the pairs are
of those.
"""

from __future__ import annotations

import re
from typing import Final

_FOLLOWING: Final = (
    "a:abcdfgiklmnprstuvwxy b:acdeijloprsuy c:acdehiklmorstuy d:abdeilorstuy e:abcdefgiklmnopqrstvwxy f:acdefilnorstu "
    "g:aeghilnorstu h:aeiortu i:abcdefgilmnoprstvxz j:eou k:eilsw l:abdefilopstuy m:abdeilmopstu n:acdefgiklnopstuvy "
    "o:abcdefgiklmnoprstuvwx p:acdefhiloprstuy q:u r:abcdefgiklmnoprstuvy s:aceghiklmnoprstuwy t:acdefhilmoprstuwy "
    "u:abcdefgilmnoprst v:aei w:aehinors x:acefiptx y:eimnpst z:ei"
)
"""The pairs that make up 98.5 % of all pairs in the words of Python's standard library, counted."""

_USUAL: Final = frozenset(
    first + second for first, _, rest in (each.partition(":") for each in _FOLLOWING.split()) for second in rest
)
_PIECE: Final = re.compile(r"[A-Za-z0-9+/]+")
_FEW_DIGITS: Final = re.compile(r"(?<![0-9])[0-9]{1,2}([0-9])(?![0-9])")
"""Digits in a row say nothing of words, so a few of them count as one; many are a number or a date."""


def strangeness(value: str) -> float:
    """Return which part of neighbouring characters no word has: unusual letters, or a letter beside a digit."""
    pieces = _PIECE.findall(_FEW_DIGITS.sub(r"\1", value))
    pairs = [piece[place : place + 2] for piece in pieces for place in range(len(piece) - 1)]
    return sum(map(_strange, pairs)) / max(1, len(pairs))


def longest(value: str) -> int:
    """Return the length of the longest stretch without a separator."""
    return max(map(len, _PIECE.findall(value)), default=0)


def _strange(pair: str) -> bool:
    if pair.isdigit():
        return False
    return pair.lower() not in _USUAL if pair.isalpha() else True
