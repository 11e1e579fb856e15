"""What a server keeps of a password for SCRAM-SHA-256 (RFC 5802, RFC 7677), so that it need not be told the password.

PostgreSQL takes it in the place of a password (`SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, the fields
of RFC 5803 in its own writing) and stores it as it is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final, NamedTuple

ITERATIONS: Final = 4096
"""RFC 7677 section 4 asks for at least these. More would protect a guessable password; ours have 256 bits."""
SALT_BYTES: Final = 16
_PLAIN = re.compile(r"[\x21-\x7e]{1,256}")


class Keys(NamedTuple):
    """The two keys that a server checks with (RFC 5802 section 3)."""

    stored: bytes
    server: bytes


def scram_keys(password: str, salt: bytes, iterations: int = ITERATIONS) -> Keys:
    """Compute them. The password is printable ASCII without spaces, which SASLprep (RFC 4013) leaves as it is."""
    if not _PLAIN.fullmatch(password):
        raise ValueError("the password is not printable ASCII without spaces")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return Keys(hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256"))


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """Return it as PostgreSQL writes it."""
    keys = scram_keys(password, salt, iterations)
    salted, stored, server = (base64.b64encode(part).decode() for part in (salt, keys.stored, keys.server))
    return f"SCRAM-SHA-256${iterations}:{salted}${stored}:{server}"
