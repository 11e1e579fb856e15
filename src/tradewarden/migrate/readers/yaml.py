"""YAML line by line: block and flow mappings, lists of `NAME=value`, block scalars, what was commented out.

Templates (Helm, Jinja) and broken files are read as far as they go: this looks for values, it does not load a document.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.migrate.candidate import Candidate
from tradewarden.migrate.readers import env, ini, json, shell, toml
from tradewarden.migrate.readers.json import unescaped
from tradewarden.migrate.readers.structured import Frame, owners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_ENTRY = re.compile(
    r"""(?P<indent>[ \t]*)(?P<comment>\#+[ \t]*)?(?P<dashes>(?:-[ \t]+)*)
    (?:(?P<key>"[^"\r\n]{0,200}"|'[^'\r\n]{0,200}'|[^\s\#:'"{}\[\],&*!|>%@`-][^:\r\n\#]{0,200}?)[ \t]*:(?=[ \t\r\n]|$))?
    [ \t]*(?:[&!][^\s"'{}\[\]]*[ \t]+)*""",
    re.VERBOSE,
)
_QUOTED = re.compile(r""""(?P<double>(?:[^"\\]|\\.){0,8192})"|'(?P<single>(?:[^']|''){0,8192})'""", re.DOTALL)
_BLOCK = re.compile(r"[|>][-+0-9]*[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n|$)")
_BARE = re.compile(r"[^\r\n]*?(?=[ \t]+#|[ \t]*(?:\r|\n|$))")
_FLOW = re.compile(
    r"""(?P<key>"[^"]{1,200}"|'[^']{1,200}'|[A-Za-z_][\w.-]{0,100})[ \t]*:[ \t]*
    (?:"(?P<double>(?:[^"\\\r\n]|\\.)*)"|'(?P<single>(?:[^'\r\n]|'')*)'|(?P<bare>[^\s,{}\[\]"'][^,{}\[\]\r\n]*))""",
    re.VERBOSE,
)
_VARIABLE = re.compile(r"""(?P<key>[A-Za-z_][\w.-]*)=(?P<quote>["']?)(?P<value>.*?)(?P=quote)$""", re.DOTALL)
_ESCAPES: Final = re.compile(r"\\(x[0-9A-Fa-f]{2}|[0aevN_LP ])")


class _Value(NamedTuple):
    start: int
    end: int
    value: str
    quoted: bool


def read(text: str) -> Iterator[Candidate]:
    """Yield every scalar that has a key."""
    frames, place = [Frame(-1, "")], 0
    while place < len(text):
        line = _LINE.match(text, place)
        if line is None or line.end() == place:
            return
        entry = _ENTRY.match(text, place, line.end())
        place = line.end()
        if entry is None or entry.end() >= len(text):
            continue
        if entry["comment"] is None and entry.end() < line.end():
            _close(frames, entry)
        if text.startswith(("|", ">"), entry.end()) and _BLOCK.match(text, entry.end()):
            place, found = _block(text, entry, line.end(), frames)
            yield from found
            continue
        yield from _entry(text, entry, line.end(), frames)


def _close(frames: list[Frame], entry: re.Match[str]) -> None:
    depth = len(entry["indent"]) + len(entry["dashes"])
    while len(frames) > 1 and frames[-1].indent >= depth:
        frames.pop()
    if entry["dashes"]:
        frames[-1].name = ""


def _entry(text: str, entry: re.Match[str], end: int, frames: list[Frame]) -> Iterator[Candidate]:
    key = entry["key"].strip("\"'") if entry["key"] is not None else ""
    start = entry.end()
    if text.startswith(("{", "["), start):
        yield from _flow(text, start, end, (*owners(frames), *([key] if key else [])))
        return
    value = _scalar(text, start, end)
    if not value.value:
        if key and entry["comment"] is None:
            frames.append(Frame(len(entry["indent"]) + len(entry["dashes"]), key))
        return
    if key:
        yield Candidate(*value[:3], frames[-1].key_for(key, value.value), owners(frames), quoted=value.quoted)
    elif entry["dashes"]:
        yield _item(text, value, frames)


def _scalar(text: str, start: int, end: int) -> _Value:
    match = _QUOTED.match(text, start)
    if match is not None:
        which = "double" if match["double"] is not None else "single"
        return _Value(match.start(which), match.end(which), _meaning(match), quoted=True)
    bare = _BARE.match(text, start, end)
    value = bare[0] if bare is not None else ""
    return _Value(start, start + len(value), value, quoted=False)


def _meaning(match: re.Match[str]) -> str:
    if match["double"] is None:
        return match["single"].replace("''", "'")
    return unescaped(match["double"])


def _item(text: str, value: _Value, frames: list[Frame]) -> Candidate:
    pair = _VARIABLE.match(text[value.start : value.end])
    if pair is None:
        return Candidate(*value[:3], frames[-1].key, owners(frames[:-1]), quoted=value.quoted)
    start = value.start + pair.start("value")
    return Candidate(start, start + len(pair["value"]), pair["value"], pair["key"], owners(frames), quoted=value.quoted)


def _flow(text: str, start: int, end: int, around: tuple[str, ...]) -> Iterator[Candidate]:
    frame = Frame(0, "")
    for match in _FLOW.finditer(text, start, end):
        which = next(name for name in ("double", "single", "bare") if match[name] is not None)
        raw = match[which].rstrip() if which == "bare" else match[which]
        value = unescaped(raw) if which == "double" else raw.replace("''", "'") if which == "single" else raw
        if value:
            key = frame.key_for(match["key"].strip("\"'"), value)
            yield Candidate(
                match.start(which), match.start(which) + len(raw), value, key, around, quoted=which != "bare"
            )


def _reader(key: str) -> Callable[[str], Iterator[Candidate]]:
    """A file that stands in a configuration is read as what its name says; everything else as a script."""
    suffix = key.rpartition(".")[2].lower() if "." in key else ""
    known = {"yaml": read, "yml": read, "json": json.read, "toml": toml.read, "env": env.read}
    return known.get(suffix, ini.read if suffix in ("properties", "ini", "cfg", "conf") else shell.read)


def _block(text: str, entry: re.Match[str], begin: int, frames: list[Frame]) -> tuple[int, list[Candidate]]:
    """Read a block scalar: the lines below that stand deeper than their key."""
    depth, place, lines = len(entry["indent"]), begin, []
    while place < len(text):
        line = _LINE.match(text, place)
        if line is None or line.end() == place:
            break
        content = line[0].rstrip("\r\n")
        if content.strip() and len(content) - len(content.lstrip(" ")) <= depth:
            break
        lines.append((place, content))
        place = line.end()
    filled = [(at, content) for at, content in lines if content.strip()]
    if not filled:
        return place, []
    margin = min(len(content) - len(content.lstrip(" ")) for _, content in filled)
    start, end = filled[0][0] + margin, filled[-1][0] + len(filled[-1][1])
    value = "\n".join(content[margin:] for at, content in lines if filled[0][0] <= at <= filled[-1][0])
    key = entry["key"].strip("\"'") if entry["key"] is not None else frames[-1].key
    whole = Candidate(start, end, value, frames[-1].key_for(key, value), owners(frames), quoted=False)
    begin = filled[0][0]
    around = (*owners(frames), key)
    shifted = [
        each._replace(start=each.start + begin, end=each.end + begin, owners=(*around, *each.owners))
        for each in _reader(key)(text[begin:end])
    ]
    return place, [whole] if not shifted or "-----BEGIN" in value else shifted
