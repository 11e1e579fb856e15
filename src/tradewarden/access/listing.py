"""Pages over the things of many services, of which a caller may see those of some.

Always true here: a service's name has no `/`, so a scope covers all names or one. What a page is made of is therefore
known before anything is read, and nothing else is: neither what is on it, nor where it goes on, nor how long it takes
tells of what the caller may not see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tradewarden.access.grant import ANY
from tradewarden.access.permission import Permission
from tradewarden.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from _typeshed import SupportsRichComparison

    from tradewarden.access.grant import Grant

R = TypeVar("R")


def names(grant: Grant, wanted: str = ANY) -> tuple[str, ...]:
    """Return the names of services whose things a listing shows, in order; `ANY` alone stands for all of them.

    `wanted` is the one that was asked for, if any was.
    """
    if wanted:
        return (wanted,) if grant.sees(wanted) else ()
    scopes = {each.scope for each in grant.permissions.within(Permission(grant.action))}
    return tuple(sorted(each for each in scopes if not each.endswith("/*")))


async def page(
    seen: Iterable[str],
    read: Callable[[str], Awaitable[Sequence[R]]],
    key: Callable[[R], SupportsRichComparison],
    limit: int,
) -> tuple[list[R], R | None]:
    """Return the first `limit` rows of these names, in order, and the last of them when the page is full.

    `read` gives the first `limit` rows of a name, or of all for `ANY`, in the order of `key`, which is unique. Seals
    are for the caller to check, on what comes out.
    """
    rows: list[R] = []
    for name in seen:
        found = await read(name)
        rows = _merged(rows, found, key)[:limit] if rows else list(found)
    return rows, rows[-1] if len(rows) == limit else None


def _merged(rows: list[R], found: Sequence[R], key: Callable[[R], SupportsRichComparison]) -> list[R]:
    try:
        return sorted((*rows, *found), key=key)
    except TypeError as error:
        raise IntegrityError(
            "A row of a listing was changed outside Tradewarden and is refused; restore it from a backup",
            reason="rows of a listing differ in the types of what orders them",
        ) from error
