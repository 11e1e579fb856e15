"""INI, `.cfg`, `.conf` and Java properties: sections, `name = value` and `name: value`, with or without quotes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tradewarden.migrate.candidate import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE = re.compile(
    r"""^[ \t]*(?:\[(?P<section>[^\]\r\n]+)\]
    | (?:[;\#]+[ \t]*)?(?P<key>[A-Za-z_][\w .:-]{0,100}?)[ \t]*(?:=|:(?=[ \t]))[ \t]*
      (?:"(?P<double>[^"\r\n]*)"|'(?P<single>[^'\r\n]*)'|(?P<bare>[^\r\n]*?))[ \t]*;?(?:[ \t]+[;\#][^\r\n]*)?$)""",
    re.VERBOSE | re.MULTILINE,
)


def read(text: str) -> Iterator[Candidate]:
    """Yield every value that is not empty, with its section."""
    around: tuple[str, ...] = ()
    for match in _LINE.finditer(text.replace("\r", "\n")):
        if match["section"] is not None:
            around = (match["section"].strip(),)
            continue
        which = next((name for name in ("double", "single", "bare") if match[name] is not None), "bare")
        value = match[which]
        if value:
            yield Candidate(
                match.start(which), match.end(which), value, match["key"].strip(), around, quoted=which != "bare"
            )
