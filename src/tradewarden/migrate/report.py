"""What people and programs are told about a plan and its outcome. Never a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.migrate.diff import diff
from tradewarden.migrate.slots import shown, variable_of
from tradewarden.migrate.undo import DAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tradewarden.migrate.migration import Applied
    from tradewarden.migrate.plan import Plan
    from tradewarden.migrate.rewriting import ByHand, Move
    from tradewarden.migrate.undo import Undone


class Moved(msgspec.Struct, frozen=True):
    """One value and where it goes."""

    file: str
    line: int
    key: str
    rule: str
    secret: str
    variable: str


class Left(msgspec.Struct, frozen=True):
    """One place that a person changes, and why."""

    file: str
    line: int
    key: str
    rule: str
    why: str


class PlanReport(msgspec.Struct, frozen=True):
    """A plan for programs. `diff` has every value masked."""

    id: str
    moves: tuple[Moved, ...]
    by_hand: tuple[Left, ...]
    notes: tuple[str, ...]
    duties: tuple[str, ...]
    unread: tuple[str, ...]
    diff: str


def plan_report(plan: Plan, context: int = 0) -> PlanReport:
    """Return a plan as it is printed with `--json`, its diff with `context` lines around each change."""
    return PlanReport(
        plan.id,
        tuple(map(_moved, plan.moves)),
        tuple(map(_left, plan.by_hand)),
        plan.notes,
        plan.duties,
        plan.unread,
        diff(plan, context),
    )


def plan_lines(plan: Plan) -> Iterator[str]:
    """Give the lines that a person reads before anything is done."""
    if not plan.moves and not plan.by_hand:
        yield "No credential was found; there is nothing to move."
        return
    secrets = {shown(move.destination): variable_of(move.destination) for move in plan.moves}
    yield f"Plan {plan.id}: {_many(len(plan.moves), 'place')}, {_many(len(secrets), 'value')} to move"
    for secret, variable in sorted(secrets.items()):
        places = [
            f"{each.finding.file}:{each.finding.line}" for each in plan.moves if shown(each.destination) == secret
        ]
        yield f"  {secret}  ({variable})"
        yield f"      {', '.join(places)}"
    yield from _list("Told apart:", plan.notes)
    yield from _list("Left to you:", [_left_line(each) for each in plan.by_hand])
    yield from _list("To do around it:", plan.duties)
    yield from _list("Not looked into:", plan.unread)


def applied_lines(applied: Applied) -> Iterator[str]:
    """Give the lines on what was done."""
    for written in applied.written:
        yield f"{'wrote' if written.fresh else 'is there already:'} {written.name} ({written.label})"
    for file in applied.changed:
        yield f"rewrote {file}"
    if applied.undo:
        yield f"tradewarden migrate undo brings the files back (kept encrypted, for {DAYS} days): {applied.undo}"


def undone_lines(undone: Undone) -> Iterator[str]:
    """Give the lines on what became of each file."""
    for what, files in (
        ("restored", undone.restored),
        ("was never changed:", undone.unchanged),
        ("was changed since, and left as it is:", undone.changed_since),
    ):
        yield from (f"{what} {file}" for file in files)
    if undone.earlier:
        yield f"an earlier apply can be taken back, too; run tradewarden migrate undo again: {undone.earlier[0]}"


def _list(title: str, lines: tuple[str, ...] | list[str]) -> Iterator[str]:
    if lines:
        yield title
        yield from (f"  {line}" for line in lines)


def _left_line(each: ByHand) -> str:
    finding = each.finding
    key = f" {finding.key}" if finding.key else ""
    return f"{finding.file}:{finding.line}{key}: {each.why}"


def _moved(move: Move) -> Moved:
    finding = move.finding
    return Moved(
        finding.file, finding.line, finding.key, finding.rule, shown(move.destination), variable_of(move.destination)
    )


def _left(each: ByHand) -> Left:
    finding = each.finding
    return Left(finding.file, finding.line, finding.key, finding.rule, each.why)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
