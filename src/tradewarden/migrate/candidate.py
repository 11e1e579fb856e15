"""A value in a file that could be a credential, as a reader gives it and before any rule has looked at it."""

from __future__ import annotations

from typing import NamedTuple


class Candidate(NamedTuple):
    """One value with what it is called.

    `text[start:end]` is how the file writes it, without quotes; `value` is what that means (escapes resolved).
    `owners` are the names around it from outside in (section, class, function, dictionary, call). `quoted` tells a
    string of a language from a bare word of a configuration file. A `template` has parts that are filled in at run
    time: it is never a credential itself, but what is found inside goes by its name. A `member` is one of several
    values under one key.
    """

    start: int
    end: int
    value: str
    key: str
    owners: tuple[str, ...] = ()
    quoted: bool = True
    template: bool = False
    member: bool = False
