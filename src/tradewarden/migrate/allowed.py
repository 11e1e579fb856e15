"""Lines that say themselves that they hold no credential: `# tradewarden: allow <why>`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradewarden.migrate.document import Document

_OURS = re.compile(r"(?:#|//|;|/\*|<!--|--)\s*tradewarden:\s*allow\b[:\s]*(?P<why>\S.*)?", re.IGNORECASE)
_THEIRS = re.compile(r"pragma:\s*(?:allow|white)list[ -]secret")
_THEIRS_NEXT = re.compile(r"^\s*(?:#|//|;|--)\s*pragma:\s*allowlist[ -]nextline[ -]secret")
_LEAST_WHY = 3


def allowed(document: Document, offset: int) -> bool:
    """Tell whether the line of `offset` is allowed by a comment: ours with a reason, or detect-secrets' own."""
    if "tradewarden:" not in document.text and "pragma:" not in document.text:
        return False
    line = document.line_at(offset)
    ours = _OURS.search(line)
    if ours is not None and len((ours["why"] or "").strip()) >= _LEAST_WHY:
        return True
    before = document.line_starts[document.line_of(offset) - 1] - 1
    return bool(_THEIRS.search(line)) or (before >= 0 and bool(_THEIRS_NEXT.search(document.line_at(before))))
