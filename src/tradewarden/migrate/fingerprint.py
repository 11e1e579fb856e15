"""Marks of values that are safe to show and to keep: they tell equal from different, and let nobody guess."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING

from tradewarden.crypto.kdf import Argon2Profile, argon2id

if TYPE_CHECKING:
    from tradewarden.migrate.finding import Finding

_STRETCHED = Argon2Profile(iterations=2, lanes=1, memory_cost=19 * 1024)
_MARK = 8


class Marks:
    """Short marks for one run: equal values have equal marks, and no later run can compare (its key is thrown away)."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def of(self, finding: Finding) -> str:
        """Return eight hexadecimal digits."""
        return hmac.new(self._key, finding.value.reveal().encode(errors="replace"), hashlib.sha256).hexdigest()[:_MARK]


def digest(finding: Finding, salt: bytes) -> str:
    """Return what is kept of an accepted finding: Argon2id (RFC 9106) of its rule and value, 256 bits in hexadecimal.

    Whoever reads the salt beside it still pays for every guess; file and line are no part of it.
    """
    return argon2id(f"{finding.rule}\0{finding.value.reveal()}".encode(errors="replace"), salt, _STRETCHED).hex()
