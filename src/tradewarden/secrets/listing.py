"""Which parts of the tree of paths a listing may walk, so that it reads no name it cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tradewarden.access.permission import Permission

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant

MAX_PAGE = 1000


class Part(NamedTuple):
    """All paths that start with `text`, or only the path `text` itself; each may be shown."""

    text: str
    whole: bool

    def covers(self, other: Part) -> bool:
        """Tell whether all of `other` is in this part."""
        return self.text == other.text if self.whole else other.text.startswith(self.text)


def visible_parts(grant: Grant, prefix: str) -> list[Part]:
    """Return the parts of what starts with `prefix` that `grant` may see, in order, none twice."""
    scopes = grant.permissions.within(Permission(grant.action))
    narrowed = {_within(prefix, scope.scope) for scope in scopes}
    parts: list[Part] = []
    for part in sorted(each for each in narrowed if each is not None):
        if not any(known.covers(part) for known in parts):
            parts.append(part)
    return parts


def _within(prefix: str, scope: str) -> Part | None:
    start = scope.removesuffix("*")
    whole = start == scope != ""
    if start.startswith(prefix):
        return Part(start, whole)
    return None if whole or not prefix.startswith(start) else Part(prefix, whole=False)
