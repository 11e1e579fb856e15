"""Which versions of a secret in Vault may be deleted, brought back or destroyed. Pure.

Vault says yes to versions that it does not have; our callers are told, as they are by our own store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.errors import InvalidInputError, LimitExceededError, SecretNotFoundError
from tradewarden.secrets.commands import SecretMetadata, VersionMetadata
from tradewarden.secrets.rules import encode_custom

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tradewarden.secrets.providers.vault.engine import Metadata

_MAX_CUSTOM_BYTES = 512


def require_kept(found: Metadata, path: str, versions: Sequence[int], *, destroyed_too: bool) -> None:
    """Raise `SecretNotFoundError` unless every one of `versions` is there."""
    for number in versions:
        version = found.version(number)
        if version is None:
            raise SecretNotFoundError(path, reason=f"vault: version {number} is not kept")
        if version.destroyed and not destroyed_too:
            raise SecretNotFoundError(path, reason=f"vault: version {number} is destroyed")


def check_custom(custom: Mapping[str, str]) -> None:
    """Raise `InvalidInputError` for custom metadata that we or Vault do not take."""
    encode_custom(custom)
    for key, text in custom.items():
        if not key or not text:
            raise InvalidInputError("custom holds an empty key or text, and Vault takes neither")
        if len(text.encode()) > _MAX_CUSTOM_BYTES:
            raise LimitExceededError(f"custom takes texts of up to {_MAX_CUSTOM_BYTES} bytes in Vault")


def shown(path: str, found: Metadata, now: float) -> SecretMetadata:
    """Return the metadata as our callers know it; Vault does not tell who wrote a version."""
    versions = tuple(
        VersionMetadata(
            each.number,
            each.created_at,
            "",
            each.deleted_at if 0 < each.deleted_at <= now else None,
            each.destroyed,
        )
        for each in found.versions
    )
    oldest = versions[0].version if versions else 0
    return SecretMetadata(
        path,
        found.current,
        oldest,
        found.created_at,
        found.updated_at,
        found.max_versions,
        found.custom,
        versions,
    )
