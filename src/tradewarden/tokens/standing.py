"""Whether what was issued still stands: the rows, against each other and the register of services. Pure.

A token is good while its row, its subject's generation, its registration's incarnation and its family all are; a row
that should be there and is not counts as ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tradewarden.access.permission import PermissionSet
from tradewarden.errors import TokenError

if TYPE_CHECKING:
    from tradewarden.tokens.policy import TokenPolicy
    from tradewarden.tokens.register import Registration
    from tradewarden.tokens.store import FamilyRow, TokenRow, TokenState

decode_names = msgspec.json.Decoder(tuple[str, ...]).decode


def incarnation_of(registration: Registration | None) -> str:
    """Return what a row carries for its registration; empty for a name that is not registered."""
    return registration.incarnation if registration is not None else ""


def generation_of(state: TokenState) -> int:
    """Return how often all tokens of the subject were ended."""
    return state.subject.generation if state.subject is not None else 0


def check_token(state: TokenState, registration: Registration | None, now: float) -> TokenRow:
    """Return the token's row when it is good now; raises `TokenError` saying in its reason what is not."""
    token = state.token
    if token is None:
        raise TokenError("token is not in the register of issued tokens")
    if token.revoked_at:
        raise TokenError("token is revoked")
    if now >= token.expires_at:
        raise TokenError("token is expired")
    _check_bonds(token, state, registration)
    if token.family and (state.family is None or state.family.ended_at):
        raise TokenError("token family is ended")
    return token


def check_family(state: TokenState, registration: Registration | None, now: float) -> FamilyRow:
    """Return the family's row when it may still be refreshed; raises `TokenError`."""
    family = state.family
    if family is None:
        raise TokenError("refresh token is unknown")
    if family.ended_at:
        raise TokenError("token family is ended")
    if now >= family.expires_at:
        raise TokenError("token family reached its absolute expiry")
    _check_bonds(family, state, registration)
    return family


def _check_bonds(row: TokenRow | FamilyRow, state: TokenState, registration: Registration | None) -> None:
    if row.generation != generation_of(state):
        raise TokenError("all tokens of the subject are revoked")
    if row.incarnation != incarnation_of(registration):
        raise TokenError("the registration it was issued under does not stand any more")


def standing_names(permissions: str, registration: Registration | None, policy: TokenPolicy) -> tuple[str, ...]:
    """Return what is left of a row's permissions under what its name may have now.

    Raises `TokenError` for a name that is not registered where only registered ones are served.
    """
    ceiling = ceiling_of(registration, policy)
    if ceiling is None:
        raise TokenError("service is not registered")
    return PermissionSet(decode_names(permissions)).intersect(PermissionSet(ceiling)).names


def ceiling_of(registration: Registration | None, policy: TokenPolicy) -> tuple[str, ...] | None:
    """Return the most that a name may have; None when it may have no token at all."""
    if registration is not None:
        return registration.permissions
    return policy.unregistered_ceiling or None
