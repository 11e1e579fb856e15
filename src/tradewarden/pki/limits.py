"""What may be asked of the authority, in the words of the document of the interface; the room checks it.

A longest life and the profiles that are given at all are settings, and not said here.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from tradewarden.access.hosts import DnsName, IpAddress
from tradewarden.pki.certificate.names import MAX_NAMES
from tradewarden.pki.certificate.profiles import ISSUED
from tradewarden.pki.certificate.request import MAX_CSR_BYTES

MAX_SERIAL_TEXT: Final = 59
"""Twenty octets with colons between them."""
_MANY: Final = msgspec.Meta(extra_json_schema={"maxItems": MAX_NAMES})
_SERIAL: Final = {"maxLength": MAX_SERIAL_TEXT, "pattern": "^:*[0-9A-Fa-f](?::*[0-9A-Fa-f]){0,39}:*$"}

CURSOR: Final = re.compile(r"([0-9]{1,15})\.([0-9a-f]{40})", re.ASCII)

Cursor = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^(?:{CURSOR.pattern})?$"})]
SoonHours = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
"""More hours than that are checked here: they lead beyond every date."""
Names = Annotated[tuple[DnsName, ...], _MANY]
Addresses = Annotated[tuple[IpAddress, ...], _MANY]
Csr = Annotated[str, msgspec.Meta(extra_json_schema={"maxLength": MAX_CSR_BYTES})]
Hours = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1})]
ProfileName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(ISSUED)})]
SerialNumber = Annotated[str, msgspec.Meta(extra_json_schema=_SERIAL)]
