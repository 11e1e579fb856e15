"""How long a page of a listing may be, for the document of the interface; each listing checks it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

MAX_PAGE: Final = 1000
PageSize = Annotated[int, msgspec.Meta(extra_json_schema={"minimum": 1, "maximum": MAX_PAGE})]
