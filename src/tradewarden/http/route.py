"""One row of the route table: everything the door needs to know about one call.

The router, the OpenAPI document, the permission check, the rate limit and the audit event all come from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from tradewarden.audit.entry import EventType

if TYPE_CHECKING:
    from types import UnionType

    from tradewarden.access.grant import Grant
    from tradewarden.app import Warden
    from tradewarden.audit.entry import Entry


class Proof(StrEnum):
    """How a caller may prove itself for a route."""

    OPEN = "open"
    """Nobody needs to be proven; such calls are counted into audit entries, a window at a time."""
    BEARER = "bearer"
    """A bearer token: a service's, or the admin token; on the mTLS listener the client certificate is enough."""
    CLIENT = "client"
    """A bearer token, or a registered service's client secret (HTTP Basic)."""
    TOKEN_REQUEST = "token_request"  # noqa: S105
    """As `CLIENT`, or the bootstrap rule of a development service on loopback."""
    REFRESH_TOKEN = "refresh_token"  # noqa: S105
    """The refresh token in the body."""
    JOIN = "join"
    """The join token in the body."""
    RENEWAL = "renewal"
    """As `BEARER`, or a certificate and the proof of its key in the body."""
    ACME = "acme"
    """The signature of an ACME account, of a key with an external account binding, or of a certificate's key."""
    OPERATOR = "operator"
    """A bearer token with the permission, or the local machine under the bootstrap rule's conditions."""


WITH_SECRET = frozenset({Proof.CLIENT, Proof.TOKEN_REQUEST})
"""The proofs for which a registered service's client secret (HTTP Basic) counts."""


class Rate(StrEnum):
    """Which bucket a call spends from (`TRADEWARDEN_RATE_LIMITS`)."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"
    ISSUE = "issue"
    ADMIN = "admin"


class Content(msgspec.Struct, frozen=True):
    """An answer that is not JSON: bytes of a media type (PEM, DER, metrics text, a page), or nothing of none."""

    body: bytes
    media_type: str
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call without input."""


Handler = Callable[["Warden", "Grant", msgspec.Struct, "Entry"], Awaitable[msgspec.Struct | Content]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Route:
    """One row. `command` is the decoded input: path parameter, query (GET, DELETE) and body (POST) in one struct.

    `resource` names what is acted on (for permission scopes and the audit entry); empty means a call over many things,
    whose handler filters item by item. `parameter` is the command's field that the last path segment(s) fill: a path
    `/services/{service_name}` takes one segment, `/secrets/{path...}` takes the rest.
    """

    method: str
    path: str
    summary: str
    permission: str
    """The action that is authorised (`secrets:read`); `service:view` for an open route."""
    event: EventType
    rate: Rate
    command: type[msgspec.Struct]
    answer: type[msgspec.Struct] | UnionType | str
    """The JSON answer's type (a union: one of them), or the media type of a `Content`; empty for one of nothing."""
    handler: Handler
    proof: Proof = Proof.BEARER
    resource: Callable[[msgspec.Struct], str] | None = None
    form: bool = False
    """Takes application/x-www-form-urlencoded, as its RFC says, beside JSON."""
    oauth: bool = False
    """Its problems carry the `error` that clients of OAuth 2.0 look for (RFC 6749 section 5.2)."""
    status: int = 200
    """The status of its answer."""
    raw: str = ""
    """The media type of a body that is taken as it is, as the only field of the command."""
    feature: str = ""
    """`ENABLE_JWT`, `ENABLE_MTLS`: answers 503 `feature_disabled` when that setting is false."""
    lasting: bool = False
    """Answers with a credential, which outlives the call: the caller has to count at its end as at its beginning."""
    development_only: bool = False
    """Outside development there is no such path, for nobody (see `tradewarden.http.routes.offered`)."""
    errors: tuple[int, ...] = ()
    """Statuses beside the usual ones (400, 401, 403, 413, 415, 429, 503) that this call may answer."""

    def takes(self, argument: str) -> bool:
        """Tell whether the path parameter may be `argument`: several segments only where the path says so."""
        return "/" not in argument or self._takes_rest

    @cached_property
    def _takes_rest(self) -> bool:
        return self.path.endswith("...}")

    @cached_property
    def of_verifiers(self) -> bool:
        """Whether it is what everybody who verifies certificates may ask."""
        return self.proof is Proof.OPEN and self.path.startswith("/ca/")

    @cached_property
    def action(self) -> str:
        """What an audit entry calls it: the permission's second part."""
        return self.permission.partition(":")[2]

    @cached_property
    def prefix(self) -> str:
        """The fixed part of the path; the whole path when it has no parameter."""
        return self.path.partition("{")[0]

    @cached_property
    def parameter(self) -> str:
        """The name of the path parameter, or the empty string."""
        return self.path.partition("{")[2].rstrip("}").removesuffix("...")
