"""What a refresh token's use means (RFC 9700 section 4.14.2). Pure.

Each is good for one exchange. Only the newest of a family is good. An answer can get lost on its way, so for a short
grace the holder of the one just used may try again and gets another successor; the one that was not seen is void then,
because nothing that could be handed out twice is kept. Everything else is a replay: the family ends, and with it every
access token of it, since nobody can tell which of the two holders is the thief.

A family that was begun over mTLS is bound to its service's certificates, not to one of them: our clients are
confidential ones, whose refresh tokens are bound by how they prove themselves (RFC 8705 section 4). So a renewed
certificate goes on with the family, and each new access token is bound to the certificate it was asked for with
(section 3). Without a certificate of that service the token is refused before anything else is looked at, so that a
thief cannot even end the family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from tradewarden.errors import PermissionDeniedError, TokenError
from tradewarden.tokens.bond import Bond
from tradewarden.tokens.policy import DAY_SECONDS
from tradewarden.tokens.store import FamilyRow, RefreshRow

if TYPE_CHECKING:
    from tradewarden.access.grant import Credential
    from tradewarden.tokens.policy import TokenPolicy


def is_replay(used: RefreshRow, family: FamilyRow, policy: TokenPolicy, now: int) -> bool:
    """Tell whether this use ends the family; raises `TokenError` when the token merely lay idle for too long."""
    if used.digest == family.current and not used.used_at:
        check_idle(used, policy, now)
        return False
    is_retry = used.used_at and used.successor == family.current
    return not (is_retry and now - used.used_at <= policy.grace_seconds)


def check_idle(used: RefreshRow, policy: TokenPolicy, now: float) -> None:
    """Raise `TokenError` when a refresh token was not used in time."""
    if now >= used.issued_at + policy.refresh_idle_days * DAY_SECONDS:
        raise TokenError("refresh token was idle for too long")


def require_bond(family: FamilyRow, name: str, credential: Credential | None) -> Bond:
    """Return the certificate that the new access token is bound to.

    `name` is the holder's. Raises `PermissionDeniedError` over another service's certificate, `TokenError` for a bound
    family without a certificate.
    """
    if credential is None or not credential.thumbprint:
        if family.confirmation:
            raise TokenError("refresh token is bound to the client certificates of its service")
        return Bond()
    if credential.peer != name:
        raise PermissionDeniedError("refresh token belongs to another principal than the client certificate")
    return Bond.shown(credential)


def rotated(
    used: RefreshRow, family: FamilyRow, successor: bytes, now: int, confirmation: str = ""
) -> tuple[RefreshRow, RefreshRow, FamilyRow]:
    """Return the rows after an exchange: the used token, its successor, the family. A retry never moves its grace."""
    bond = confirmation if family.confirmation else ""
    return (
        replace(used, used_at=used.used_at or now, successor=successor),
        RefreshRow(successor, family.family, now, 0, b""),
        replace(family, current=successor, confirmation=bond),
    )
