"""What an accepted token proves."""

from __future__ import annotations

import msgspec

from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Principal
from tradewarden.tokens.bond import Bond
from tradewarden.tokens.commands import TokenValid


class Authenticated(msgspec.Struct, frozen=True, eq=False):
    """Who a token's holder is and what it may do; `expires_at` in seconds since the epoch.

    `bond` is the client certificate that the token is bound to; whoever takes the token must see that certificate on
    the call's own connection and know that it counts, or ask whether it is revoked.
    `permissions` are what the token grants, and the rights of a service over its own tokens unless another service
    asked for this one; `names` are what it grants as it was asked for. `answer` is ready for `/tokens/validate`.
    `bootstrap`: in the end it comes from the bootstrap rule.
    """

    principal: Principal
    permissions: PermissionSet
    names: tuple[str, ...]
    service_name: str
    jti: str
    kind: str
    family: str
    issued_at: int
    expires_at: int
    answer: TokenValid
    bond: Bond = Bond()
    bootstrap: bool = False
