"""Seals what waits in the database for its number, so that who can only write there cannot forge it.

A row of the audit inbox is a batch shipped from a journal, or the entries of changes (`tradewarden.audit.inbox`). A
batch carries HMAC-SHA256 (RFC 2104) over its kind, its journal, its first counter, its count and its bytes, each entry
of a change its own over kind and bytes. A second copy of what is sealed is what this cannot see; the counters of
batches show it, the row digests of changes make it harmless.
"""

from __future__ import annotations

import hmac
import struct

from tradewarden.crypto.mac import MacKey

MAC_BYTES = 32
_BATCH = struct.Struct(">B8sQI")
_CHANGE = b"\x00"


class InboxSeal:
    """Makes and checks seals under one pinned key (`keys.derive(Purpose.AUDIT, "inbox")`)."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = MacKey(key)

    def __repr__(self) -> str:
        return "InboxSeal(…)"

    def change(self, line: bytes) -> bytes:
        """Return the sealed form of one change's entry."""
        return self._key.digest(_CHANGE + line) + line

    def batch(self, boot: bytes, first: int, count: int, lines: bytes) -> bytes:
        """Return the sealed form of a batch of journaled entries, joined by LF."""
        head = _BATCH.pack(1, boot, first, count)
        return self._key.digest(head + lines) + lines

    def open_change(self, sealed: bytes) -> bytes | None:
        """Return the entry when its seal holds, else None: the caller turns that into a finding."""
        line = sealed[MAC_BYTES:]
        return line if line and hmac.compare_digest(sealed, self.change(line)) else None

    def open_batch(self, boot: bytes, first: int, count: int, sealed: bytes) -> bytes | None:
        """Return the batch's lines when its seal holds for this journal and counter, else None."""
        lines = sealed[MAC_BYTES:]
        whole = hmac.compare_digest(sealed, self.batch(boot, first, count, lines))
        return lines if whole and lines else None
