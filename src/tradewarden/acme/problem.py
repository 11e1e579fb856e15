"""What an ACME client is told when something is wrong (RFC 8555 section 6.7)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import msgspec

from tradewarden.errors import AuthenticationError, TradewardenError

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = "urn:ietf:params:acme:error:"


class Kind(StrEnum):
    """The registered types of problems; each stands behind `urn:ietf:params:acme:error:`."""

    ACCOUNT_DOES_NOT_EXIST = "accountDoesNotExist"
    ALREADY_REPLACED = "alreadyReplaced"
    ALREADY_REVOKED = "alreadyRevoked"
    BAD_CSR = "badCSR"
    BAD_NONCE = "badNonce"
    BAD_PUBLIC_KEY = "badPublicKey"
    BAD_REVOCATION_REASON = "badRevocationReason"
    BAD_SIGNATURE_ALGORITHM = "badSignatureAlgorithm"
    CONNECTION = "connection"
    DNS = "dns"
    EXTERNAL_ACCOUNT_REQUIRED = "externalAccountRequired"
    INCORRECT_RESPONSE = "incorrectResponse"
    INVALID_CONTACT = "invalidContact"
    MALFORMED = "malformed"
    ORDER_NOT_READY = "orderNotReady"
    RATE_LIMITED = "rateLimited"
    REJECTED_IDENTIFIER = "rejectedIdentifier"
    SERVER_INTERNAL = "serverInternal"
    TLS = "tls"
    UNAUTHORIZED = "unauthorized"
    UNSUPPORTED_CONTACT = "unsupportedContact"
    UNSUPPORTED_IDENTIFIER = "unsupportedIdentifier"
    USER_ACTION_REQUIRED = "userActionRequired"


class Identifier(msgspec.Struct, frozen=True, order=True):
    """What a certificate is asked for: `dns` and a name, or `ip` and an address (RFC 8738)."""

    type: str
    value: str


class Subproblem(msgspec.Struct, frozen=True):
    """What is wrong with one identifier (RFC 8555 section 6.7.1); also what is kept of a failed challenge."""

    type: str
    detail: str
    identifier: Identifier | None = None


class AcmeError(TradewardenError):
    """A call that is proven and not done; `account` is where the one is that a new key belongs to already."""

    code: ClassVar[str] = "acme_refused"

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        reason: str = "",
        subproblems: Sequence[Subproblem] = (),
        account: str = "",
    ) -> None:
        super().__init__(detail, reason=reason)
        self.kind = kind
        self.subproblems = tuple(subproblems)
        self.account = account


class AcmeProofError(AuthenticationError):
    """A call that proves nobody: its JWS, its key, its account or its external account binding does not hold."""

    code: ClassVar[str] = "acme_unproven"

    def __init__(self, kind: Kind, detail: str, *, reason: str = "") -> None:
        super().__init__(detail, reason=reason)
        self.kind = kind
