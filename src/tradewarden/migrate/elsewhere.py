"""Where a value that is moved stands besides: in a test, a comment, another file, under a name that says nothing. Pure.

A copy of a value that looks made by a generator is the same credential, wherever it stands, and moves with it. Of a
password that people make up a copy may be a word that happens to be equal: a person says which.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from tradewarden.migrate.allowed import allowed
from tradewarden.migrate.document import Document
from tradewarden.migrate.finding import Finding, Language
from tradewarden.migrate.language import language_of
from tradewarden.migrate.rewriting import ByHand, Move
from tradewarden.migrate.rules.values import random
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

RULE: Final = "same-value"
_SHORTEST: Final = 8
"""A shorter text is equal by chance."""
_CERTAIN: Final = 12
"""From so many characters on, a copy of a generated value is no chance."""
_DEFAULT: Final = re.compile(r"\$\{\w+:?[-=+?]$")


def copies(
    texts: Mapping[str, str], moves: Sequence[Move], findings: Iterable[Finding]
) -> tuple[list[Move], list[ByHand]]:
    """Return the places of moved values that are no finding: those to move along, and those left to a person.

    `findings` are all places that are known, accepted ones too: these are left alone.
    """
    known: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for each in findings:
        known[each.file].append((each.start, each.end))
    slots: dict[str, Move] = {}
    for move in sorted(moves, key=lambda each: (each.finding.file, each.finding.start)):
        slots.setdefault(move.finding.value.reveal(), move)
    along: list[Move] = []
    left: list[ByHand] = []
    for value in sorted(slots, key=lambda each: (-len(each), each)):
        if not _worth_a_look(value):
            continue
        for file, text in sorted(texts.items()):
            for start in _places(text, value):
                end = start + len(value)
                if any(low < end and start < high for low, high in known[file]):
                    continue
                document = Document(file, text, language_of(file, text))
                if allowed(document, start):
                    continue
                known[file].append((start, end))
                _sort(_finding(document, start, end, slots[value]), slots[value], text, along, left)
    return along, left


def _sort(finding: Finding, of: Move, text: str, along: list[Move], left: list[ByHand]) -> None:
    place = f"{of.finding.file}:{of.finding.line}"
    if not _certain(finding.value.reveal()):
        left.append(ByHand(finding, f"it is the text that is moved from {place}; look whether it is the same password"))
    elif finding.language is Language.ENV and _DEFAULT.search(text, 0, finding.start):
        left.append(ByHand(finding, "it is the default of a variable, of which some readers of the file make nothing"))
    else:
        along.append(Move(finding, of.destination))


def _finding(document: Document, start: int, end: int, of: Move) -> Finding:
    return Finding(
        document.file, document.line_of(start), start, end, document.language, RULE, "",
        Secret(of.finding.value.reveal()), of.finding.destination,
    )  # fmt: skip


def _worth_a_look(value: str) -> bool:
    """Tell whether a value is long enough, and no word of a language or a program."""
    word = value.isalpha() and (value.islower() or value.isupper() or value.istitle())
    return len(value) >= _SHORTEST and bool(value.strip()) and (not word or _certain(value))


def _certain(value: str) -> bool:
    return (len(value) >= _CERTAIN and random(value, _CERTAIN)) or "PRIVATE KEY" in value


def _places(text: str, value: str) -> Iterator[int]:
    """Give where a value stands as a whole, not as a part of a longer word."""
    at = text.find(value)
    while at >= 0:
        around = text[max(0, at - 1) : at], text[at + len(value) : at + len(value) + 1]
        inner = value[:1], value[-1:]
        if not any(one.isalnum() and other.isalnum() for one, other in zip(around, inner, strict=True)):
            yield at
        at = text.find(value, at + len(value))
