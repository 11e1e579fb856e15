"""What the rotators of Tradewarden's own tokens and client secrets need of its other rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from tradewarden.errors import AuthenticationError, PermissionDeniedError, RotationFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Proof(NamedTuple):
    """How a service proves itself, and the path of the secret for whose rotation it does."""

    service_name: str
    client_secret: str
    path: str

    def __repr__(self) -> str:
        return f"Proof(service_name={self.service_name!r}, path={self.path!r})"


class Issued(Protocol):
    """A token that was issued; times are RFC 3339 in UTC."""

    @property
    def token(self) -> str:
        """The token itself."""
        ...

    @property
    def issued_at(self) -> str:
        """From when it is good."""
        ...

    @property
    def expires_at(self) -> str:
        """Until when it is good."""
        ...


class OwnServices(Protocol):
    """Services and tokens, as the service itself that proves itself may use them, each use with its audit entry.

    What needs a proof raises `AuthenticationError` for a wrong one.
    """

    async def issue(self, proof: Proof, permissions: tuple[str, ...] | None, ttl_seconds: int | None) -> Issued:
        """Issue a token: asked (None: all) ∩ registered; raises `PermissionDeniedError` when nothing is left."""
        ...

    async def accepts(self, service_name: str, token: str) -> bool:
        """Tell whether a token is good now, and this service's."""
        ...

    async def end(self, proof: Proof, token: str) -> None:
        """End a token of the service; one that is none or has ended already is left."""
        ...

    def new_client_secret(self) -> str:
        """Return a client secret that nobody has yet."""
        ...

    async def proves(self, service_name: str, client_secret: str) -> bool:
        """Tell whether a client secret is the service's."""
        ...

    async def replace_client_secret(self, proof: Proof, client_secret: str) -> None:
        """Make a new client secret the service's; the one that proves it is void at once."""
        ...


def proof_in(value: Mapping[str, object] | None, path: str, held_in: str) -> Proof:
    """Return the proof in a value; raises `RotationFailedError` naming what is missing."""
    texts = [(value or {}).get(name) for name in ("service_name", "client_secret")]
    name, secret = (text if isinstance(text, str) else "" for text in texts)
    if not name or not secret:
        raise RotationFailedError(
            f"Secret '{held_in}' has no service_name and client_secret; write what the service was registered with"
        )
    return Proof(name, secret, path)


def refused(proof: Proof, error: AuthenticationError | PermissionDeniedError) -> RotationFailedError:
    """Return the error for a service that may not do what its rotation needs."""
    if isinstance(error, AuthenticationError):
        why = "its client secret is not accepted; write the one that it has now"
    else:
        why = "it may not have what the policy asks for; look at its permissions"
    return RotationFailedError(f"Service '{proof.service_name}': {why}", reason=error.reason)
