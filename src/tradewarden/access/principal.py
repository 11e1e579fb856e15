"""Who a caller was proven to be. Typed, so that a service can never pass for a user of the same name."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import msgspec

from tradewarden.errors import InvalidInputError

OWN_NAME = "tradewarden"
"""The service name of this service itself: its listeners' certificates bear it, and nobody else's."""
_SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
ServiceName = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{_SERVICE_NAME.pattern}$"})]
"""A text that `service_name` takes, for the document of the interface."""
ServiceFilter = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^(?:{_SERVICE_NAME.pattern})?$"})]
"""The same, or the empty text for all of them."""


class Kind(StrEnum):
    """What a principal is."""

    SERVICE = "service"
    USER = "user"
    LOCAL = "local"
    ANONYMOUS = "anonymous"


class Principal(msgspec.Struct, frozen=True):
    """A proven caller: `service:trading_bot`, `user:admin`, `local:1000`."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"


ANONYMOUS = Principal(Kind.ANONYMOUS, "")


def service_name(text: str) -> str:
    """Return `text` when it may name a service (`[a-z0-9][a-z0-9_-]{0,62}`); raises `InvalidInputError`."""
    if not _SERVICE_NAME.fullmatch(text):
        raise InvalidInputError(
            "service_name must be 1 to 63 of a-z, 0-9, '_' and '-', and start with a letter or a digit"
        )
    return text
