"""Seals what waits in the database for its number, so that who can only write there cannot forge it.

A row of the audit inbox is one change's entry, or a batch shipped from a journal. Either carries
HMAC-SHA256 (RFC 2104) over its kind, its journal, its first counter, its count and its bytes. A
second copy of a sealed row is what this cannot see; the counters of batches show it, the row digests
of changes make it harmless.
"""

from __future__ import annotations

import hmac
import struct

MAC_BYTES = 32
_BATCH = struct.Struct(">B8sQI")
_CHANGE = b"\x00"


class InboxSeal:
    """Makes and checks seals under one pinned key (`keys.derive(Purpose.AUDIT, "inbox")`)."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "InboxSeal(…)"

    def change(self, line: bytes) -> bytes:
        """Return the sealed form of one change's entry."""
        return hmac.digest(self._key, _CHANGE + line, "sha256") + line

    def batch(self, boot: bytes, first: int, count: int, lines: bytes) -> bytes:
        """Return the sealed form of a batch of journaled entries, joined by LF."""
        head = _BATCH.pack(1, boot, first, count)
        return hmac.digest(self._key, head + lines, "sha256") + lines

    def open_change(self, sealed: bytes) -> bytes | None:
        """Return the entry when its seal holds, else None: the caller turns that into a finding."""
        line = sealed[MAC_BYTES:]
        return line if line and hmac.compare_digest(sealed, self.change(line)) else None

    def open_batch(self, boot: bytes, first: int, count: int, sealed: bytes) -> bytes | None:
        """Return the batch's lines when its seal holds for this journal and counter, else None."""
        lines = sealed[MAC_BYTES:]
        whole = hmac.compare_digest(sealed, self.batch(boot, first, count, lines))
        return lines if whole and lines else None
