"""What a token may be given, and for how long. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import OWN_NAME, Kind, Principal
from tradewarden.errors import AuthenticationError, InvalidInputError, PermissionDeniedError, RefreshRefusedError
from tradewarden.tokens.bootstrap import BOOTSTRAP, BOOTSTRAP_TEXT, HANDED_ON, LIFETIME_SECONDS
from tradewarden.tokens.minting import Term, service_subject
from tradewarden.tokens.policy import MAX_PERMISSIONS
from tradewarden.tokens.standing import ceiling_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tradewarden.access.grant import Grant
    from tradewarden.tokens.commands import IssueToken
    from tradewarden.tokens.policy import TokenPolicy
    from tradewarden.tokens.register import Registration

_ON_ITSELF = (
    "tokens:issue",
    "tokens:validate",
    "tokens:read",
    "tokens:revoke",
    "tokens:introspect",
)
_ON_THE_TOKEN = ("tokens:validate",)
_NO_REFRESH = (
    "A token that was given without credentials has no refresh token; ask for another one when it ends, or have the "
    "service registered"
)
_OF_AN_UNREGISTERED_NAME = ("read",)


def with_own(service_name: str, names: Iterable[str]) -> PermissionSet:
    """Return what a proven service may do: its permissions, and use, see and end its own tokens.

    These rights over itself are not handed on: what a token is given is cut to the registered
    maximum, whatever its asker holds.
    """
    return PermissionSet([*names, *_over(service_name, _ON_ITSELF)])


def held_with(service_name: str, names: Iterable[str], issued_by: str) -> PermissionSet:
    """Return what a token's holder may do, by who asked for it as the register has it.

    The rights of a service over itself come with a token that it asked for itself, or that an administrator or the
    bootstrap rule gave it. Another service that asked for one is not this service: with that token it has what the
    token grants, and may have it validated.
    """
    if issued_by.startswith(service_subject("")) and issued_by != service_subject(service_name):
        return PermissionSet([*names, *_over(service_name, _ON_THE_TOKEN)])
    return with_own(service_name, names)


def _over(service_name: str, actions: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{action}:{service_name}" for action in actions)


def grantable(
    command: IssueToken, grant: Grant, registration: Registration | None, policy: TokenPolicy
) -> tuple[str, ...]:
    """Return the names that the token gets: asked ∩ the caller's own ∩ the registered maximum (decision 1).

    Names stay as they were asked for where they are granted whole. Raises `PermissionDeniedError` when something was
    asked for and nothing is left, or a service would get a token of another one that grants nothing;
    `AuthenticationError` when a registered name came without its proof; `InvalidInputError` for our own name;
    `RefreshRefusedError` when a refresh token was asked for with nothing proven.
    """
    _check_bootstrap(command, grant, registration)
    if command.service_name == OWN_NAME:
        raise InvalidInputError(f"service_name {OWN_NAME!r} is this service's own; it has no tokens")
    is_of_another = grant.principal.kind is Kind.SERVICE and not _asks_for_itself(command, grant)
    ceiling = ceiling_of(registration, policy)
    if ceiling is None:
        raise PermissionDeniedError("service is not registered")
    asked = command.permissions
    if asked is None:
        asked = _OF_AN_UNREGISTERED_NAME if registration is None else registration.permissions
    if len(asked) > MAX_PERMISSIONS:
        raise InvalidInputError(f"At most {MAX_PERMISSIONS} permissions can be asked for")
    own = HANDED_ON if grant.principal == BOOTSTRAP else grant.permissions
    names = PermissionSet(asked).intersect(own).intersect(PermissionSet(ceiling)).names
    if not names and (asked or is_of_another):
        raise PermissionDeniedError("nothing of what was asked for may be granted")
    if len(names) > MAX_PERMISSIONS:
        raise InvalidInputError(f"What is left are more than {MAX_PERMISSIONS} permissions; ask for fewer")
    return names


def _check_bootstrap(command: IssueToken, grant: Grant, registration: Registration | None) -> None:
    if grant.principal == BOOTSTRAP and registration is not None:
        raise AuthenticationError("Authentication required", reason="bootstrap: the name is registered")
    if grant.principal == BOOTSTRAP and command.service_name == OWN_NAME:
        raise AuthenticationError("Authentication required", reason="bootstrap: the name is this service's own")
    if command.refresh and issuer_of(grant) == BOOTSTRAP_TEXT:
        raise RefreshRefusedError(_NO_REFRESH, reason="bootstrap: no refresh token is given")


def _asks_for_itself(command: IssueToken, grant: Grant) -> bool:
    """Tell whether a service asks for a token of its own; raises for one with a token that another asked for.

    What it would get is its own, with its rights over itself (`held_with`), which that token does not give.
    """
    name = command.service_name
    if grant.principal != Principal(Kind.SERVICE, name):
        return False
    if not set(_over(name, _ON_ITSELF)) <= set(grant.permissions.names):
        raise PermissionDeniedError("a token that another service asked for asks for none of its service's own")
    return True


def issuer_of(grant: Grant) -> str:
    """Return who issues a token as the register has it: the caller, or the bootstrap rule where its token came of it.

    So what came without credentials is known as such in every token that is asked for with it (decision 2).
    """
    credential = grant.credential
    return BOOTSTRAP_TEXT if credential is not None and credential.bootstrap else str(grant.principal)


def term(command: IssueToken, grant: Grant, policy: TokenPolicy, now: int) -> Term:
    """Return from when until when the token is good; raises `InvalidInputError`.

    What is asked for is cut: to the policy's lifetime, to a day under the bootstrap rule, and for a
    holder that renews its own token with that token to the end of it. So no token extends itself;
    that takes a client secret, a certificate or a refresh token.
    """
    asked = command.ttl_seconds
    if asked is not None and asked < 1:
        raise InvalidInputError("ttl_seconds must be a whole number of seconds, 1 or more")
    most = policy.lifetime_seconds
    if grant.principal == BOOTSTRAP:
        most = min(most, LIFETIME_SECONDS)
    ends = now + (most if asked is None else min(asked, most))
    return Term(now, min(ends, end_of_proof(command, grant) or ends))


def end_of_proof(command: IssueToken, grant: Grant) -> int:
    """Return when the caller's own proof ends, for a service that asks for itself; 0 when it does not."""
    credential = grant.credential
    if credential is None or grant.principal != Principal(Kind.SERVICE, command.service_name):
        return 0
    return int(credential.expires_at)
