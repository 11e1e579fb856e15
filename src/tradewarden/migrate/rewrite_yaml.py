"""YAML: a value becomes `"${ALPHAPULSE_…}"` where it stands, whatever its quotes, its anchor, or its block.

Compose files take `${…:?}`, which Compose fills in and refuses when it is missing; GitHub's workflows
`${{ secrets.… }}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.migrate.edit import Edit
from tradewarden.migrate.finding import Language
from tradewarden.migrate.rewrite_shell import required

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tradewarden.migrate.rewriting import Move, Rewritten

_WORKFLOWS: Final = ".github/workflows/"


class _Scalar(msgspec.Struct, frozen=True):
    """A scalar: its place with quotes or block sign, its value, its style (empty for a plain one)."""

    start: int
    end: int
    value: str
    style: str
    in_flow: bool


def reference_in(move: Move) -> str:
    """Return what stands for a value in this file."""
    if move.finding.language is Language.COMPOSE:
        return required(move)
    if _WORKFLOWS in move.finding.file:
        return f"${{{{ secrets.{move.reference[2:-1]} }}}}"
    return move.reference


def rewrite_yaml(text: str, moves: Sequence[Move], rewritten: Rewritten) -> None:
    """Rewrite one file (see `Rewriter`)."""
    scalars = _scalars(text)
    for move in moves:
        start = move.finding.start
        scalar = next((each for each in scalars if each.start <= start < each.end), None)
        edit = _loose(text, move) if scalar is None else _edit(text, scalar, move)
        if move.finding.language is Language.COMPOSE and "$" in text[start : move.finding.end]:
            rewritten.leave(move, "it has a $ in it, of which Compose makes something else")
        elif edit is None:
            rewritten.leave(move, "it does not stand in one YAML value")
        else:
            rewritten.edits.append(edit)
            rewritten.duties += _duty(move)


def _duty(move: Move) -> list[str]:
    name = move.reference[2:-1]
    if move.finding.language is Language.COMPOSE:
        return [f"who starts it must have set {name}, or name a file that does (--env-file)"]
    return [f"the repository's settings on GitHub need the secret {name}"] if _WORKFLOWS in move.finding.file else []


def _edit(text: str, scalar: _Scalar, move: Move) -> Edit | None:
    start, end = move.finding.start, move.finding.end
    reference = reference_in(move)
    if end > scalar.end:
        return None
    if scalar.style in ("|", ">"):
        return _block(text, scalar, move)
    if scalar.style or (not scalar.in_flow and (scalar.start, scalar.end) != (start, end)):
        return Edit(start, end, reference)
    if '"' in scalar.value or "\\" in scalar.value:
        return None
    before, after = text[scalar.start : start], text[end : scalar.end]
    return Edit(scalar.start, scalar.end, f'"{before}{reference}{after}"')


def _block(text: str, scalar: _Scalar, move: Move) -> Edit:
    """Return the edit of a block: the whole of it when it is the value, its line ends written out."""
    reference = reference_in(move)
    before, found, after = scalar.value.partition(move.finding.value.reveal())
    if not found or (before + after).strip("\n "):
        return Edit(move.finding.start, move.finding.end, reference)
    ends = [part.replace("\n", "\\n") for part in (before, after)]
    return Edit(scalar.start, _trimmed(text, scalar.end), f'"{ends[0]}{reference}{ends[1]}"')


def _trimmed(text: str, end: int) -> int:
    """Return where the last line of a block ends, before its line end."""
    return len(text[:end].rstrip("\r\n "))


def _loose(text: str, move: Move) -> Edit | None:
    """Return the edit of a comment, or of a value in quotes in a file that is no plain YAML (a template of it)."""
    start, end = move.finding.start, move.finding.end
    line = text[text.rfind("\n", 0, start) + 1 : start]
    quoted = text[start - 1 : start] in ('"', "'") and text[end : end + 1] == text[start - 1 : start]
    if line.lstrip().startswith("#") or " #" in line or quoted:
        return Edit(start, end, reference_in(move))
    return None


def _scalars(text: str) -> list[_Scalar]:
    import yaml  # type: ignore[import-untyped]

    try:
        return list(_scanned(text))
    except yaml.YAMLError:
        return []


def _scanned(text: str) -> Iterator[_Scalar]:
    import yaml

    depth = 0
    for token in yaml.scan(text, yaml.SafeLoader):
        if isinstance(token, yaml.FlowMappingStartToken | yaml.FlowSequenceStartToken):
            depth += 1
        elif isinstance(token, yaml.FlowMappingEndToken | yaml.FlowSequenceEndToken):
            depth -= 1
        elif isinstance(token, yaml.ScalarToken):
            style = "" if token.plain else token.style
            yield _Scalar(token.start_mark.index, token.end_mark.index, token.value, style, depth > 0)
