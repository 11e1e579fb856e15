"""The decision: may this principal do this to that? Made once a request, carried as a `Grant` to the room.

`Grant` is made only by `authorize`. It keeps honest code honest; it is no boundary against code of the same process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.errors import PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.access.permission import PermissionSet
    from tradewarden.access.principal import Principal

_ONLY_AUTHORIZE: Final = object()
ANY: Final = ""
"""The resource of a call over many things (a listing): allowed with the action on anything, filtered item by item."""


class Credential(msgspec.Struct, frozen=True):
    """How a principal was proven: the method, and for a token whose it is, what it grants, and when it ends.

    `expires_at` is in seconds since the epoch, 0 for what does not end by itself. `thumbprint`, `serial` and `peer`
    tell of the client certificate on whose connection the call came, whatever the proof was (empty: without one): its
    `x5t#S256` (RFC 8705), its serial number, and the service that it names. `bootstrap` says of a token that in the end
    nobody was proven for it: it comes from the bootstrap rule, or was asked for with a token that does.
    """

    method: str
    name: str = ""
    permissions: tuple[str, ...] = ()
    expires_at: float = 0.0
    thumbprint: str = ""
    serial: str = ""
    peer: str = ""
    bootstrap: bool = False


class Grant:
    """Proof that `principal` was allowed `action` on `resource` (`ANY` for a listing)."""

    __slots__ = ("action", "credential", "permissions", "principal", "resource")

    def __init__(
        self,
        seal: object,
        principal: Principal,
        permissions: PermissionSet,
        action: str,
        resource: str,
        credential: Credential | None,
    ) -> None:
        if seal is not _ONLY_AUTHORIZE:
            raise TypeError("a Grant is made by tradewarden.access.grant.authorize alone")
        self.principal = principal
        self.permissions = permissions
        self.action = action
        self.resource = resource
        self.credential = credential

    def __repr__(self) -> str:
        return f"Grant({self.principal}, {self.action}, {self.resource!r})"

    def require(self, action: str, resource: str) -> None:
        """Check that this grant is for `action` on `resource`; a room does so first. Raises `PermissionDeniedError`."""
        if self.action != action:
            raise PermissionDeniedError(f"grant is for {self.action}, not for {action}")
        if resource != self.resource and not self.permissions.allows(action, resource):
            raise PermissionDeniedError(f"{self.principal} lacks {action} on this resource")

    def require_over(self, name: str, held: Iterable[str]) -> None:
        """Check that this grant may lead to a credential of `name`, who holds these permissions; or raise as `require`.

        Nobody grants more than they hold (decision 7), whatever scope the right has: a caller can narrow its own to any
        name by itself.
        """
        if not self.permissions.includes(held):
            raise PermissionDeniedError(f"{name} holds more than the caller: nobody grants more than they hold")

    def sees(self, resource: str) -> bool:
        """Tell whether one item of a listing may be shown."""
        return self.permissions.allows(self.action, resource)


def authorize(
    principal: Principal,
    permissions: PermissionSet,
    action: str,
    resource: str = ANY,
    credential: Credential | None = None,
) -> Grant:
    """Return the grant, or raise `PermissionDeniedError` saying in its reason what was missing."""
    allowed = permissions.allows(action, resource) if resource else permissions.allows_some(action)
    if not allowed:
        raise PermissionDeniedError(f"{principal} lacks {action}" + (" on this resource" if resource else ""))
    return Grant(_ONLY_AUTHORIZE, principal, permissions, action, resource, credential)
