"""What Vault answers, as values: the exchange itself, and the bodies that we read of it.

Always true here: a value's own JSON is passed on byte by byte (`msgspec.Raw`), so that no number in it changes.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import NamedTuple, TypeVar

import msgspec

from tradewarden.errors import ProviderUnavailableError


class Silence(Enum):
    """Why there is no answer, and what an operator looks at."""

    REFUSED = "nobody takes connections there; look whether it runs and at address and port"
    TIMEOUT = "it did not answer in time; look at its load and at the network between"
    RESET = "the connection broke off in the middle; look at Vault's log and at proxies between"
    TLS = "TLS failed; look at VAULT_CACERT, the name in its certificate and its end"
    TOO_LARGE = "the answer is larger than we take"
    UNUSABLE = "the request could not be made of this address"


class Answer(NamedTuple):
    """One exchange. `silence` says why there was none; the status is 0 then. `why` is for the log."""

    status: int
    body: bytes = b""
    location: str = ""
    retry_after: float = 0.0
    silence: Silence | None = None
    why: str = ""

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, silence={self.silence})"

    @property
    def good(self) -> bool:
        """Whether Vault did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the class of RFC 9110 15.3

    def errors(self) -> str:
        """Return what Vault says is wrong, on one line; empty when it says nothing."""
        try:
            said = msgspec.json.decode(self.body, type=_Errors).errors or []
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ""
        return "; ".join(" ".join(each.split()) for each in said)


class _Errors(msgspec.Struct):
    errors: list[str] | None = None


class VersionShown(msgspec.Struct, frozen=True):
    """One version, as reading, writing and metadata tell of it."""

    created_time: str = ""
    deletion_time: str = ""
    destroyed: bool = False
    version: int = 0


class _Read(msgspec.Struct, frozen=True):
    metadata: VersionShown
    data: msgspec.Raw = msgspec.Raw(b"null")


class ReadBody(msgspec.Struct, frozen=True):
    """`GET data/…`; a deleted version has it too, below a 404."""

    data: _Read


class WrittenBody(msgspec.Struct, frozen=True):
    """`POST data/…`."""

    data: VersionShown


class _Metadata(msgspec.Struct, frozen=True):
    created_time: str
    updated_time: str
    current_version: int
    max_versions: int = 0
    custom_metadata: dict[str, str] | None = None
    versions: dict[int, VersionShown] = {}


class MetadataBody(msgspec.Struct, frozen=True):
    """`GET metadata/…`."""

    data: _Metadata


class _Keys(msgspec.Struct, frozen=True):
    keys: list[str]


class ListBody(msgspec.Struct, frozen=True):
    """`LIST metadata/…`: names, folders with a slash at their end."""

    data: _Keys


class _Auth(msgspec.Struct, frozen=True):
    client_token: str
    lease_duration: int
    renewable: bool

    def __repr__(self) -> str:
        return f"_Auth(lease_duration={self.lease_duration})"


class AuthBody(msgspec.Struct, frozen=True):
    """A login, or a renewal."""

    auth: _Auth


class _Looked(msgspec.Struct, frozen=True):
    ttl: int
    renewable: bool = False
    creation_ttl: int = 0


class LookupBody(msgspec.Struct, frozen=True):
    """`GET auth/token/lookup-self`."""

    data: _Looked


class _SecretId(msgspec.Struct, frozen=True):
    secret_id: str

    def __repr__(self) -> str:
        return "_SecretId()"


class SecretIdBody(msgspec.Struct, frozen=True):
    """An unwrapped AppRole secret ID."""

    data: _SecretId


class _Wrapped(msgspec.Struct, frozen=True):
    creation_path: str


class WrappedBody(msgspec.Struct, frozen=True):
    """`POST sys/wrapping/lookup`."""

    data: _Wrapped


class _Mount(msgspec.Struct, frozen=True):
    type: str
    options: dict[str, str] | None = None


class MountBody(msgspec.Struct, frozen=True):
    """`GET sys/internal/ui/mounts/…`."""

    data: _Mount


T = TypeVar("T", bound=msgspec.Struct)


def read_as(kind: type[T], answer: Answer, place: str) -> T:
    """Return the body; raises `ProviderUnavailableError` when it is not what Vault answers."""
    found = None
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = msgspec.json.decode(answer.body, type=kind)
    if found is None:  # raised here, without a cause: what the parser says may quote a value
        raise ProviderUnavailableError(
            f"What answers at {place} does not speak as Vault's KV version 2 does; look at VAULT_URL and VAULT_MOUNT",
            reason=f"vault: status {answer.status} with a body that is no {kind.__name__}",
        )
    return found


def seconds(time: str) -> float:
    """Return an RFC 3339 time of Vault, which has nanoseconds, as seconds since the epoch; 0 for none."""
    try:
        return datetime.fromisoformat(time).timestamp() if time else 0.0
    except ValueError:
        return 0.0
