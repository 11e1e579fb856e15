"""How much may be registered of a service, checked in `tradewarden.identity.bounds` and `.enrolment`.

The types say it in the document of the interface; nothing is checked by them.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from tradewarden.access.hosts import DnsName, DnsPattern, IpAddress
from tradewarden.access.permission import PermissionName

MAX_PERMISSIONS: Final = 64
MAX_NAMES: Final = 64
MAX_JOIN_NAMES: Final = 32
MAX_MINUTES: Final = 7 * 24 * 60
_MANY: Final = msgspec.Meta(extra_json_schema={"maxItems": MAX_NAMES})
_SOME: Final = msgspec.Meta(extra_json_schema={"maxItems": MAX_JOIN_NAMES})

Permissions = Annotated[tuple[PermissionName, ...], msgspec.Meta(extra_json_schema={"maxItems": MAX_PERMISSIONS})]
Names = Annotated[tuple[DnsPattern, ...], _MANY]
Addresses = Annotated[tuple[IpAddress, ...], _MANY]
JoinNames = Annotated[tuple[DnsName, ...], _SOME]
JoinAddresses = Annotated[tuple[IpAddress, ...], _SOME]
Minutes = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": MAX_MINUTES})]
