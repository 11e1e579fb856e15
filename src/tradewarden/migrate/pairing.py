"""Which found values are one account: a key goes with the secret that stands nearest. Pure.

Nearness has steps: one line; the same names at the same place (`SUB_API_KEY`, `SUB_API_SECRET`); the same names; the
same class, function, section or mapping; the same file. On each step, what is still alone pairs in its order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.migrate.rules.keys import words

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from tradewarden.migrate.finding import Destination, Finding

_FIELDS: Final = frozenset(
    {"api", "key", "apikey", "secret", "apisecret", "passphrase", "password", "private", "token", "access", "id"}
)


class Account:
    """Findings of one file that belong together: one value for each field of a secret."""

    def __init__(self, base: Destination, found: Sequence[Finding], at: Place) -> None:
        self.values: dict[Destination, str] = {base: found[0].value.reveal()}
        self.findings: list[tuple[Finding, Destination]] = [(each, base) for each in found]
        self.places = [at]

    @property
    def named(self) -> bool:
        """Whether a name said that a value of it is a credential, and not its shape alone."""
        return any(finding.key for finding, _ in self.findings)

    def add(self, other: Account) -> None:
        """Take another account's fields in."""
        self.values |= other.values
        self.findings += other.findings
        self.places += other.places


class Place(NamedTuple):
    """Where a value stands: line, the scopes around it, the paragraph in them, and what its name says besides."""

    line: int
    scopes: tuple[int, ...]
    paragraph: int
    stem: tuple[str, ...]


_STEPS: Final[tuple[Callable[[Place], Hashable], ...]] = (
    lambda place: place.line,
    lambda place: (place.scopes, place.paragraph, place.stem),
    lambda place: (place.scopes, place.stem),
    lambda place: (place.scopes, place.paragraph),
    lambda place: place.scopes,
    lambda place: place.stem,
    lambda _place: None,
)


def paired(values: Mapping[tuple[Destination, str], Sequence[Finding]], text: str) -> list[Account]:
    """Return the accounts of one secret in one file, in their order, those that a name speaks for first.

    `values` are the findings of each value of each field; `text` is the file, or empty when it is not known.
    """
    lines = text.split("\n")
    accounts = [_alone(base, found, lines) for (base, _), found in values.items()]
    # What only looks like a key pairs last, so that it never takes the place of one that is called so.
    for together in (lambda each: each.named, lambda _each: True):
        for step in _STEPS:
            accounts = _joined(accounts, step, together)
    return sorted(accounts, key=lambda each: not each.named)


def _alone(base: Destination, found: Sequence[Finding], lines: list[str]) -> Account:
    best = min(found, key=lambda each: (not each.key, each.start))
    return Account(base, found, _place(best, lines))


def _joined(
    accounts: list[Account], step: Callable[[Place], Hashable], together: Callable[[Account], bool]
) -> list[Account]:
    kept: list[Account] = []
    for account in accounts:
        near = (other for other in kept if together(account) and together(other) and _fit(account, other, step))
        other = next(near, None)
        if other is None:
            kept.append(account)
        else:
            other.add(account)
    return kept


def _fit(one: Account, other: Account, step: Callable[[Place], Hashable]) -> bool:
    if not one.values.keys().isdisjoint(other.values):
        return False
    return not {step(each) for each in one.places}.isdisjoint(step(each) for each in other.places)


def _place(finding: Finding, lines: list[str]) -> Place:
    stem = tuple(word for word in words(finding.key) if word not in _FIELDS)
    if not 0 < finding.line <= len(lines):
        return Place(finding.line, (), 0, stem)
    scopes: list[int] = []
    paragraph = 0
    at = finding.line - 1
    depth = _indent(lines[at])
    if _is_item(lines[at]):
        scopes.append(finding.line)
    for number in range(at - 1, -1, -1):
        line = lines[number]
        if not line.strip():
            paragraph = paragraph or (number + 1 if not scopes else 0)
        elif _is_section(line) and depth == 0:
            scopes.append(number + 1)
            break
        elif _indent(line) < depth:
            scopes.append(number + 1)
            depth = _indent(line)
    return Place(finding.line, tuple(scopes), paragraph, stem)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _is_item(line: str) -> bool:
    """Tell whether a line opens an item of a list, which is a scope of what stands deeper below it."""
    return line.lstrip(" \t").startswith("- ")


def _is_section(line: str) -> bool:
    return line.startswith("[") and line.rstrip().endswith("]")
