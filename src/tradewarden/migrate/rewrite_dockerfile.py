"""Dockerfiles: `ENV` and `ARG` no longer bake a value into the image; it comes when a container starts.

`ARG NAME=value` keeps its name and loses its default. `ENV NAME=value` is taken out, and a comment says where the value
comes from. A value in any other instruction is left to a person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.migrate.edit import Edit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.migrate.rewriting import Move, Rewritten

_INSTRUCTION: Final = re.compile(
    r"^[ \t]*(?P<word>ENV|ARG)[ \t]+(?P<body>(?:[^\n\\]|\\(?:[^\n]|[ \t\r]*\n))*)", re.MULTILINE | re.IGNORECASE
)
_PAIR: Final = re.compile(
    r"(?P<before>(?:[ \t]|\\[ \t\r]*\n)*)(?P<name>[A-Za-z_]\w*)="
    r"(?P<value>\"(?:[^\"\\]|\\[\s\S])*\"|'[^']*'|(?:[^\s\\]|\\[^\n])*)"
)
_OLD_FORM: Final = re.compile(r"(?P<name>[A-Za-z_]\w*)[ \t]+(?!=)")


class _Pair(msgspec.Struct, frozen=True):
    """One assignment: where the space before it, its name, its `=` and what follows it begin."""

    start: int
    named: int
    equals: int
    end: int
    name: str


def rewrite_dockerfile(text: str, moves: Sequence[Move], rewritten: Rewritten) -> None:
    """Rewrite one Dockerfile (see `Rewriter`)."""
    inside: dict[int, list[Move]] = {}
    for move in moves:
        start = move.finding.start
        if text[text.rfind("\n", 0, start) + 1 : start].lstrip().startswith("#"):
            rewritten.edits.append(Edit(start, move.finding.end, move.reference))
            continue
        found = next((each for each in _INSTRUCTION.finditer(text) if each.start() <= start < each.end()), None)
        if found is None:
            rewritten.leave(move, "only ENV and ARG are rewritten; a RUN step takes it as a build secret (--mount)")
        else:
            inside.setdefault(found.start(), []).append(move)
    for at, of_one in inside.items():
        found = _INSTRUCTION.match(text, at)
        assert found is not None  # noqa: S101 - it was found there
        _rewrite(found, of_one, rewritten)


def _rewrite(found: re.Match[str], moves: Sequence[Move], rewritten: Rewritten) -> None:
    pairs = _pairs(found["body"], found.start("body"))
    hit = [pair for pair in pairs if any(pair.equals < move.finding.start < pair.end + 1 for move in moves)]
    names = ", ".join(pair.name for pair in hit)
    variables = ", ".join(dict.fromkeys(move.reference[2:-1] for move in moves))
    if found["word"].upper() == "ARG":
        rewritten.edits += [Edit(pair.equals, pair.end, "") for pair in hit]
        rewritten.duties.append(f"who builds the image gives {names} (--build-arg), from {variables}")
        return
    rewritten.duties.append(f"who starts a container gives it {names} (--env-file), from {variables}")
    if len(hit) == len(pairs):
        end = found.start("body") + len(found["body"].rstrip())
        rewritten.edits.append(Edit(found.start("word"), end, f"# {names}: given to the container when it starts"))
        return
    kept = next(pair for pair in pairs if pair not in hit)
    if kept != pairs[0]:
        rewritten.edits.append(Edit(pairs[0].start, kept.named, ""))
    rewritten.edits += [Edit(pair.start, pair.end, "") for pair in hit if pair.start > kept.start]


def _pairs(body: str, offset: int) -> list[_Pair]:
    old = _OLD_FORM.match(body)
    if old is not None:
        equals = offset + old.end("name")
        return [_Pair(offset, offset, equals, offset + len(body.rstrip()), old["name"])]
    return [
        _Pair(
            start=offset + pair.start(),
            named=offset + pair.start("name"),
            equals=offset + pair.end("name"),
            end=offset + pair.end(),
            name=pair["name"],
        )
        for pair in _PAIR.finditer(body)
    ]
