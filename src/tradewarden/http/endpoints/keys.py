"""`/keys`: what keys there are, and their rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from tradewarden.clock import rfc3339
from tradewarden.errors import ConfigurationError, InvalidInputError
from tradewarden.http.route import Nothing
from tradewarden.keys.purpose import Purpose
from tradewarden.secrets.rewrap import MAX_BATCH, START
from tradewarden.tokens.tokens import SIGNING

if TYPE_CHECKING:
    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry

VersionNumber = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""A version, or 0 for what is kept of all of them."""

PurposeName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*map(str, Purpose), SIGNING]})]
BatchSize = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": MAX_BATCH})]


class RotateKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Make a new version of a purpose's key; `signing` makes a new key that signs tokens."""

    purpose: PurposeName


class RotateRoot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Put every key under a new root key, given as a URI that the service itself can open."""

    new_root: str


class RewrapSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Move one batch of secrets to the current key version; `after` is what the last batch answered."""

    after: tuple[str, VersionNumber] | None = None
    limit: BatchSize = 500


class KeyShown(msgspec.Struct, frozen=True):
    """One version of one key; never the key."""

    purpose: str
    version: int
    created_at: str
    state: str
    algorithm: str
    messages: int


class KeysShown(msgspec.Struct, frozen=True):
    """All keys, the root first."""

    keys: tuple[KeyShown, ...]


class KeyRotated(msgspec.Struct, frozen=True):
    """What is current now."""

    purpose: str
    version: int


class BatchRewrapped(msgspec.Struct, frozen=True):
    """How many versions moved, which paths do not verify and stayed, and where to go on (None: done)."""

    moved: int
    refused: tuple[str, ...]
    after: tuple[str, int] | None


async def listing(warden: Warden, grant: Grant, command: Nothing, entry: Entry) -> KeysShown:
    """List the keys; never the material."""
    del command, entry
    return KeysShown(
        tuple(
            KeyShown(key.purpose, key.version, rfc3339(key.created_at), key.state, key.algorithm, key.messages)
            for key in await warden.keyring.inventory(grant)
        )
    )


async def rotate(warden: Warden, grant: Grant, command: RotateKey, entry: Entry) -> KeyRotated:
    """Rotate a purpose's key, or the one that signs tokens; what the old one wrote stays readable."""
    if command.purpose == SIGNING:
        return KeyRotated(SIGNING, await warden.tokens.rotate_signing_key(grant, entry))
    try:
        purpose = Purpose(command.purpose)
    except ValueError as error:
        known = ", ".join([*Purpose, SIGNING])
        raise InvalidInputError(f"There is no purpose {command.purpose[:40]!r}; there are {known}") from error
    return KeyRotated(purpose, await warden.keyring.rotate(grant, purpose, entry))


async def rotate_root(warden: Warden, grant: Grant, command: RotateRoot, entry: Entry) -> KeyRotated:
    """Rotate the root key; touches no data. Set TRADEWARDEN_ROOT_KEY to the new one before the next start."""
    if not command.new_root.isprintable():
        raise InvalidInputError("new_root is no URI")
    try:
        source = warden.root_source(command.new_root)
        return KeyRotated("root", await warden.keyring.rotate_root(grant, source, entry))
    except ConfigurationError as error:
        raise InvalidInputError(_about_new_root(error.detail)) from error


def _about_new_root(detail: str) -> str:
    """Return what is wrong with the URI that was sent, which is not that of the setting."""
    setting = "TRADEWARDEN_ROOT_KEY"
    told = f"new_root{detail.removeprefix(setting)}"
    return told if detail.startswith(setting) else f"new_root cannot be used: {detail}"


async def rewrap(warden: Warden, grant: Grant, command: RewrapSecrets, entry: Entry) -> BatchRewrapped:
    """Move one batch of secrets to the current key version; call again with `after` until it is null."""
    done = await warden.rewrap.batch(grant, command.after or START, command.limit, entry)
    return BatchRewrapped(done.moved, done.refused, done.after)
