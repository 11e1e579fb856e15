"""Secrets that this service hands out: 256 random bits behind a prefix, kept as a keyed hash.

A plain hash would do for that many bits (ASVS 6.5.2); the key keeps a reader of the database from
even trying a guess.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from tradewarden.crypto.base64url import base64url

if TYPE_CHECKING:
    from tradewarden.clock import Randomness
    from tradewarden.crypto.keyset import Mac

CLIENT_SECRET_PREFIX: Final = "tws_"  # noqa: S105  (how scanners recognise one)
ADMIN_TOKEN_PREFIX: Final = "twa_"  # noqa: S105  (as above)
MAX_CHARACTERS: Final = 256
_BYTES = 32
_NOBODY = bytes(32)


def new_credential(prefix: str, randomness: Randomness) -> str:
    """Return a fresh credential."""
    return prefix + base64url(randomness(_BYTES))


def credential_hash(mac: Mac, credential: str) -> bytes:
    """Return what is kept of a credential; a longer one than any of ours hashes like an empty one."""
    fits = len(credential) <= MAX_CHARACTERS and credential.isascii()
    return mac.digest("credential", credential if fits else "")


def matches(mac: Mac, credential: str, kept: bytes | None) -> bool:
    """Tell in constant time whether a credential is the kept one; as much work when nothing is kept."""
    same = hmac.compare_digest(credential_hash(mac, credential), kept or _NOBODY)
    return same and kept is not None
