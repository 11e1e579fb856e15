"""The client certificate that a token belongs to (RFC 8705 section 3), as rows keep it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

if TYPE_CHECKING:
    from tradewarden.access.grant import Credential

_BETWEEN = "."


class Bond(msgspec.Struct, frozen=True):
    """A certificate by its thumbprint (`x5t#S256`) and its serial number; both are empty for no certificate.

    Rows of before serial numbers were kept have the thumbprint alone.
    """

    thumbprint: str = ""
    serial: str = ""

    def __str__(self) -> str:
        return _BETWEEN.join(filter(None, (self.thumbprint, self.serial)))

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what `str` wrote into a row."""
        thumbprint, _, serial = text.partition(_BETWEEN)
        return cls(thumbprint, serial)

    @classmethod
    def shown(cls, credential: Credential | None) -> Self:
        """Return the certificate of the connection that a caller was known by."""
        return cls() if credential is None else cls(credential.thumbprint, credential.serial)
