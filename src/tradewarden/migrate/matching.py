"""Which candidates and shapes of one text are credentials: each place once, with the name that says most.

A shape that is a part of a longer value, like the token in a header, is the credential and the value is not; otherwise
the value that a name makes a credential is taken whole.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from tradewarden.migrate.allowed import allowed
from tradewarden.migrate.candidate import Candidate
from tradewarden.migrate.destinations import destination
from tradewarden.migrate.detector import detected
from tradewarden.migrate.finding import Finding, Language
from tradewarden.migrate.readers.reading import candidates
from tradewarden.migrate.rules.judge import judge
from tradewarden.migrate.rules.keys import Trust, trust
from tradewarden.migrate.rules.shapes import hits
from tradewarden.migrate.rules.values import MAX_VALUE, random
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tradewarden.migrate.document import Document
    from tradewarden.migrate.rules.shapes import Hit

_EXCHANGE = re.compile(r"(?i)kraken|coinbase|cbpro")
_BETWEEN = (",", ";")
_LONGEST_URL = 500
_NESTED = 4
"""So many candidates may lie in each other, at most."""
_MARGIN = 16
"""What may stand around a private key in its literal: line ends."""


def findings(document: Document) -> Iterator[Finding]:
    """Yield the credentials of a text, in no order."""
    known = [*hits(document.text), *detected(document.text)]
    read = sorted(candidates(document, [hit.start for hit in known]), key=lambda each: (each.start, each.end))
    starts = [each.start for each in read]
    judged = {
        place: rule
        for place, each in enumerate(read)
        if not each.template and (rule := _rule(document, each)) is not None
    }
    taken: list[tuple[int, int]] = []
    for hit in sorted(known, key=lambda each: (not each.embedded, each.start - each.end)):
        if any(start < hit.end and hit.start < end for start, end in taken):
            continue
        around = _around(read, starts, hit)
        if hit.weak and not _named(document, hit, read[around] if around is not None else None):
            continue
        if hit.quoted and around is None and document.language is Language.PYTHON:
            continue
        whole = around is not None and _is_whole(
            read[around], hit, keyed=around in judged and not _listed(document.text, hit)
        )
        candidate = _of_hit(document, hit, read[around] if around is not None else None, whole=whole)
        taken.append((candidate.start, candidate.end))
        if around is not None:
            judged.pop(around, None)
        if not allowed(document, candidate.start):
            yield _finding(document, candidate, hit.rule)
    for place, rule in judged.items():
        each = read[place]
        if not any(start < each.end and each.start < end for start, end in taken) and not allowed(document, each.start):
            taken.append((each.start, each.end))
            yield _finding(document, each, rule)


def _rule(document: Document, each: Candidate) -> str | None:
    """Return the rule for a candidate, also by a shape that its writing hides (joined literals, escapes)."""
    rule = judge(each)
    if rule is None and each.quoted and each.end - each.start != len(each.value) and len(each.value) <= MAX_VALUE:
        whole = (hit.rule for hit in hits(each.value) if hit.end - hit.start == len(each.value) and not hit.weak)
        rule = next(whole, None)
    return rule if rule is None or document.text[each.start : each.end].strip() else None


def _named(document: Document, hit: Hit, around: Candidate | None) -> bool:
    """Tell whether something says that what could be a digest is a key: its name, or the exchange on its line."""
    if around is not None and around.key:
        return trust(around.key) is not Trust.NONE
    return hit.rule == "kraken-secret" and bool(_EXCHANGE.search(document.line_at(hit.start)))


def _around(read: Sequence[Candidate], starts: Sequence[int], hit: Hit) -> int | None:
    """Return the innermost candidate that a hit lies in."""
    place = bisect_right(starts, hit.start)
    nearest = range(place - 1, max(-1, place - 1 - _NESTED), -1)
    return next((each for each in nearest if read[each].end >= hit.end), None)


def _listed(text: str, hit: Hit) -> bool:
    """Tell whether it is one of several values: `FERNET_KEYS=new,old`."""
    return text[hit.end : hit.end + 1] in _BETWEEN or text[max(0, hit.start - 1) : hit.start] in _BETWEEN


def _is_whole(candidate: Candidate, hit: Hit, *, keyed: bool) -> bool:
    """Tell whether the candidate that a hit lies in is the credential itself."""
    if hit.embedded or candidate.template:
        return False
    rest = candidate.end - candidate.start - (hit.end - hit.start)
    return rest == 0 or (keyed and "://" not in candidate.value) or (hit.rule == "private-key" and rest < _MARGIN)


def _of_hit(document: Document, hit: Hit, around: Candidate | None, *, whole: bool) -> Candidate:
    if around is not None and whole:
        return around
    value = document.text[hit.start : hit.end]
    if hit.rule == "private-key":
        value = value.replace("\\n", "\n")
    owners = (*(around.owners if around is not None else ()), *_host(document, hit))
    key = hit.key or (around.key if around is not None else "")
    return Candidate(hit.start, hit.end, value, key, owners)


def _host(document: Document, hit: Hit) -> tuple[str, ...]:
    """Return the host of the URL that a hit is a parameter of."""
    if hit.rule != "url-credential":
        return ()
    line = document.text[max(0, hit.start - _LONGEST_URL) : hit.start]
    return tuple(re.findall(r"://([\w.-]+)", line)[-1:])


def _finding(document: Document, each: Candidate, rule: str) -> Finding:
    key = (
        "" if random(each.key, 16) else each.key
    )  # what is shown must not be a credential that stands where a name does
    owners = [name for name in each.owners if not random(name, 16)]
    return Finding(
        file=document.file,
        line=document.line_of(each.start),
        start=each.start,
        end=each.end,
        language=document.language,
        rule=rule,
        key=key,
        value=Secret(each.value),
        destination=destination(rule, key, owners, each.value, document.about),
    )
