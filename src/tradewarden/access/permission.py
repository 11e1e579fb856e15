"""Permissions: `resource:action`, narrowable by path or name: `secrets:read:api_keys/*`.

Always true here: an empty set grants nothing; `*` stands only as the last segment of a scope and means one segment or
more; `admin` is the one permission that means everything. Everything in this module is pure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import msgspec

from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EVERYTHING = "admin"
SHORT_NAMES = {
    "read": ("secrets:read", "secrets:list"),
    "write": ("secrets:write",),
    "view_metrics": ("metrics:view",),
    "view_alerts": ("alerts:view",),
    "view_portfolio": ("portfolio:view",),
    "view_trades": ("trades:view",),
    "execute_trades": ("trades:execute",),
    "manage_portfolio": ("portfolio:manage",),
    "manage_users": ("users:manage",),
    "configure_system": ("system:configure",),
}
INCLUDED = {"secrets:read": ("secrets:list",), "credentials:issue": ("credentials:renew",)}
"""What an action includes: TradPal's `read` is `secrets:read`, reading and listing; who may issue may renew."""
MAX_PERMISSIONS = 100
_FORM = re.compile(r"[a-z][a-z0-9_]{0,31}:[a-z][a-z0-9_]{0,31}")
SEGMENT = r"[A-Za-z0-9_.@+=,~ -]{1,255}"
"""One segment of a path or of a scope, as a regular expression."""
_SCOPE = re.compile(rf"{SEGMENT}(/{SEGMENT})*(/\*)?|\*")
_NO_DOTS = r"(?!(?:.*/)?\.{1,2}(?:/|$))"
_SHORT = "|".join(SHORT_NAMES)
_NAME = rf"^(?:admin|(?:{_SHORT}|(?!(?:admin|{_SHORT}):){_FORM.pattern})(?::{_NO_DOTS}(?:{_SCOPE.pattern}))?)$"
PermissionName = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": _NAME})]
"""A name that `expand` takes, for the document of the interface."""


class Permission(msgspec.Struct, frozen=True, order=True):
    """One right: an action (`secrets:read`) over a scope (`api_keys/*`; empty for everywhere)."""

    action: str
    scope: str = ""

    def __str__(self) -> str:
        return f"{self.action}:{self.scope}" if self.scope else self.action

    def covers(self, other: Permission) -> bool:
        """Tell whether everything that `other` allows is allowed by this one."""
        if self.action not in (EVERYTHING, other.action):
            return False
        return self.action == EVERYTHING or _scope_covers(self.scope, other.scope)


def _scope_covers(mine: str, theirs: str) -> bool:
    if mine in ("", "*"):
        return True
    if mine.endswith("/*"):
        return len(theirs) > len(mine) - 1 and theirs.startswith(mine[:-1])
    return mine == theirs


@lru_cache(maxsize=4096)
def expand(name: str) -> tuple[Permission, ...]:
    """Return what a permission's name stands for, short names spelled out; raises `InvalidInputError`."""
    if name == EVERYTHING:
        return (Permission(EVERYTHING),)
    head, _, scope = name.partition(":")
    if head in SHORT_NAMES:
        actions, form_ok = SHORT_NAMES[head], True
    else:
        second, _, scope = scope.partition(":")
        named = f"{head}:{second}"
        actions = (named, *INCLUDED.get(named, ()))
        form_ok = head != EVERYTHING and _FORM.fullmatch(named) is not None
    colons_ok = name.count(":") == (scope != "") + (head not in SHORT_NAMES)
    if not form_ok or not colons_ok or (scope and not _scope_is_valid(scope)):
        raise InvalidInputError(
            f"Permission {name[:80]!r} is not understood; write 'resource:action', 'resource:action:scope' with '*' "
            f"only as the last segment, 'admin', or one of {', '.join(sorted(SHORT_NAMES))}"
        )
    return tuple(Permission(action, scope) for action in actions)


def _scope_is_valid(scope: str) -> bool:
    return _SCOPE.fullmatch(scope) is not None and not {".", ".."} & set(scope.split("/"))


class PermissionSet:
    """What a principal may do: made once from permission names, asked on every request."""

    __slots__ = ("_everything", "_scopes", "names")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(names))
        if len(self.names) > MAX_PERMISSIONS:
            raise InvalidInputError(f"At most {MAX_PERMISSIONS} permissions can be listed")
        scopes: dict[str, tuple[str, ...]] = {}
        for permission in (each for name in self.names for each in expand(name)):
            scopes[permission.action] = (*scopes.get(permission.action, ()), permission.scope)
        self._everything = EVERYTHING in scopes
        self._scopes = scopes

    def __repr__(self) -> str:
        return f"PermissionSet({list(self.names)})"

    def __iter__(self) -> Iterator[Permission]:
        return iter([Permission(action, scope) for action, scopes in self._scopes.items() for scope in scopes])

    def allows(self, action: str, resource: str) -> bool:
        """Tell whether `action` on the thing named `resource` is granted."""
        if self._everything:
            return True
        return any(_scope_covers(scope, resource) for scope in self._scopes.get(action, ()))

    def allows_some(self, action: str) -> bool:
        """Tell whether `action` is granted on anything at all (listings, filtered item by item)."""
        return self._everything or action in self._scopes

    def covers(self, permission: Permission) -> bool:
        """Tell whether the whole of `permission` is granted."""
        return self._everything or any(
            _scope_covers(scope, permission.scope) for scope in self._scopes.get(permission.action, ())
        )

    def includes(self, names: Iterable[str]) -> bool:
        """Tell whether all that these names stand for is granted."""
        return self._everything or all(self.covers(permission) for name in names for permission in expand(name))

    def intersect(self, other: PermissionSet) -> PermissionSet:
        """Return what both allow. A name that is wholly covered stays as it was asked for; else it is narrowed."""
        kept: list[str] = []
        for name in self.names:
            wanted = expand(name)
            if all(other.covers(permission) for permission in wanted):
                kept.append(name)
            elif self._everything and name == EVERYTHING:
                kept.extend(other.names)
            else:
                kept.extend(other.narrowed(wanted))
        return PermissionSet(kept)

    def narrowed(self, wanted: Iterable[Permission]) -> list[str]:
        """Return names for the parts of `wanted` that this set grants, each part once."""
        names: list[str] = []
        covered: set[Permission] = set()
        for part in (part for permission in wanted for part in self.within(permission)):
            if part not in covered:
                names.append(str(part))
                covered.update(expand(str(part)))
        return names

    def within(self, permission: Permission) -> list[Permission]:
        """Return the parts of `permission` that this set grants, narrowest first."""
        if self.covers(permission):
            return [permission]
        scopes = self._scopes.get(permission.action, ())
        return [Permission(permission.action, scope) for scope in scopes if _scope_covers(permission.scope, scope)]


NOTHING = PermissionSet(())
ALL = PermissionSet((EVERYTHING,))
