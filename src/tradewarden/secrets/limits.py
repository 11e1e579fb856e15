"""How much there may be of what stands around a secret's value, checked in `tradewarden.secrets.rules`.

The types say it in the document of the interface; nothing is checked by them.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

MAX_KEPT: Final = 1000
MAX_PICKED: Final = 100
MAX_CUSTOM: Final = 64
MAX_CUSTOM_KEY: Final = 128
MAX_CUSTOM_VALUE: Final = 1024
MAX_VERSION: Final = 2**53 - 1

Version = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": MAX_VERSION})]
Versions = Annotated[tuple[Version, ...], msgspec.Meta(extra_json_schema={"minItems": 1, "maxItems": MAX_PICKED})]
Expected = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 0, "maximum": MAX_VERSION})]
"""The version that must be current; 0 when there must be none."""
Kept = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": MAX_KEPT})]
_TEXTS: Final = {
    "maxProperties": MAX_CUSTOM,
    "propertyNames": {"maxLength": MAX_CUSTOM_KEY},
    "additionalProperties": {"type": "string", "maxLength": MAX_CUSTOM_VALUE},
}
Custom = Annotated[dict[str, str], msgspec.Meta(extra_json_schema=_TEXTS)]
Value = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
