"""The one-time join token: what lets a service in for the first time, and which root it will find there."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.crypto.keyfile import read_private
from tradewarden.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_FORM: Final = re.compile(r"twj_[A-Za-z0-9_-]{43}\.([0-9a-f]{32})", re.ASCII)
_MAX_BYTES: Final = 4096


class JoinToken(NamedTuple):
    """A token and the pin it carries: the first half of the SHA-256 of the root CA's DER, in hex."""

    text: str
    pin: str

    def __repr__(self) -> str:
        return f"JoinToken(pin={self.pin!r})"

    @property
    def digest(self) -> str:
        """What stands for the token where it is remembered as spent."""
        return sha256(self.text.encode()).hexdigest()


def join_token(text: str) -> JoinToken:
    """Return a token that is well formed; raises `ConfigurationError` that does not repeat it."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError("The join token is not of the form twj_<secret>.<fingerprint>; copy it whole")
    return JoinToken(found[0], found[1])


def from_file(path: Path) -> JoinToken | None:
    """Return the token in a private file; None when there is no file or nothing in it."""
    if not path.exists():
        return None
    text = read_private(path, _MAX_BYTES).decode("ascii", "replace").strip()
    return join_token(text) if text else None
