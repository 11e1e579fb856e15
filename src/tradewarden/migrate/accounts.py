"""Which slot each found value goes to. Pure, but for asking what a provider holds.

Always true here: nothing that is there is ever overwritten with another value. The second key of one exchange gets a
slot of its own, together with its secret, and the same findings always get the same slots; so a run that was cut off
goes on where it stopped.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from tradewarden.migrate.pairing import paired
from tradewarden.migrate.rewriting import Move
from tradewarden.migrate.slots import is_known, numbered, settled, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tradewarden.migrate.finding import Destination, Finding
    from tradewarden.migrate.pairing import Account


_LONG: Final = 12
"""Characters from which on two equal values are one credential."""


class Holds(Protocol):
    """What the places hold that are to be written to."""

    def __call__(self, destination: Destination, /) -> set[str]:
        """Return the values that stand there: none, one, or one for each place."""
        ...


def assigned(
    findings: Sequence[Finding], holds: Holds, texts: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[Move], list[str]]:
    """Return every finding with its slot, and a line on each that did not get the one its name says.

    `texts` are the files, by which what stands together is one account.
    """
    taken: dict[Destination, str] = {}
    moves: list[Move] = []
    bases, notes = _bases(findings)
    for account in _accounts(findings, bases, texts):
        number = _number(account, taken, holds)
        for base, value in account.values.items():
            taken[numbered(base, number)] = value
        for finding, base in account.findings:
            destination = numbered(base, number)
            moves.append(Move(finding, destination))
            if number > 1:
                notes[_note(finding, base, destination, holds)] = None
    return moves, list(notes)


def _bases(findings: Sequence[Finding]) -> tuple[dict[int, Destination], dict[str, None]]:
    """Return the slot by name of each finding: one value that goes by several names gets the best of them.

    So what is one credential stays one, and is rotated once. Short values are left apart: they are equal by chance.
    """
    named: dict[str, Counter[Destination]] = defaultdict(Counter)
    for finding in findings:
        named[finding.value.reveal()][settled(finding.destination)] += 1
    bases: dict[int, Destination] = {}
    notes: dict[str, None] = {}
    for finding in findings:
        own, value = settled(finding.destination), finding.value.reveal()
        best = min(named[value], key=lambda each: (not is_known(each), -named[value][each], each.name))
        bases[id(finding)] = own if is_known(own) or len(value) < _LONG else best
        if bases[id(finding)] != own:
            notes[f"{shown(own)} has the same value as {shown(best)}, and is read from there"] = None
    return bases, notes


def _accounts(findings: Sequence[Finding], bases: Mapping[int, Destination], texts: Mapping[str, str]) -> list[Account]:
    """Return the accounts by file and place; those that only their shape speaks for come last."""
    grouped: dict[tuple[str, str], dict[tuple[Destination, str], list[Finding]]] = {}
    for finding in sorted(findings, key=lambda each: (each.file, each.start)):
        base = bases[id(finding)]
        values = grouped.setdefault((finding.file, base.name), {})
        values.setdefault((base, finding.value.reveal()), []).append(finding)
    accounts = [each for (file, _), values in grouped.items() for each in paired(values, texts.get(file, ""))]
    return sorted(accounts, key=lambda each: not each.named)


def _number(account: Account, taken: Mapping[Destination, str], holds: Holds) -> int:
    """Return the first slot that holds a value of the account and none against it; else the first without conflict."""
    free = 0
    for number in count(1):
        met = [(value, _values(numbered(base, number), taken, holds)) for base, value in account.values.items()]
        fits = all(present <= {value} for value, present in met)
        if fits and any(present for _, present in met):
            return number
        if fits and not free:
            free = number
        if free and not any(present for _, present in met):
            return free
    raise AssertionError


def _values(destination: Destination, taken: Mapping[Destination, str], holds: Holds) -> set[str]:
    return {taken[destination]} if destination in taken else holds(destination)


def _note(finding: Finding, base: Destination, destination: Destination, holds: Holds) -> str:
    held = " where it is to be written" if holds(base) - {finding.value.reveal()} else ""
    return (
        f"{shown(base)} has another value already{held}; "
        f"the one in {finding.file}:{finding.line} becomes {shown(destination)}"
    )
