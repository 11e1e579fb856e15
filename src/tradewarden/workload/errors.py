"""What can go wrong for a service with its own certificate, beyond the errors that everything here has."""

from __future__ import annotations

import ssl
from typing import ClassVar, Final

from tradewarden.errors import AuthenticationError, TradewardenError, UnavailableError

_APPLICATION_VERIFICATION: Final = 50
"""X509_V_ERR_APPLICATION_VERIFICATION of OpenSSL: the application found the peer wrong."""


class RefusedError(AuthenticationError):
    """The service answered, and does not renew or enrol with what it was shown."""

    code = "refused"

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class RootUnknownError(UnavailableError):
    """What the service shows or issues leads to no root that is trusted here: another service, or another root."""

    code = "root_unknown"


class CertificateRefusedError(UnavailableError):
    """The service's TLS listener does not take our certificate: revoked, or under a root that it trusts no more."""

    code = "certificate_refused"


class EnrolmentNeededError(AuthenticationError):
    """No certificate, and none to be had without a new join token; the text says where it is expected."""

    code = "enrolment_needed"


class HookError(TradewardenError):
    """The command that is run after a change failed; the text says how."""

    code = "hook_failed"


class PeerRefusedError(ssl.SSLCertVerificationError):
    """The certificate chain verifies, and is still not the peer that was asked for. Raised within the handshake."""

    code: ClassVar[str] = "peer_refused"

    def __init__(self, message: str) -> None:
        super().__init__(1, message)
        self.verify_code = _APPLICATION_VERIFICATION
        self.verify_message = message


class PinMismatchError(PeerRefusedError):
    """No key in the peer's verified chain is pinned."""

    code = "pin_mismatch"


class PeerNameError(PeerRefusedError):
    """The peer's SPIFFE ID is none of those asked for."""

    code = "peer_name"


class PeerRevokedError(PeerRefusedError):
    """A revocation list that is held here names a certificate in the peer's verified chain."""

    code = "peer_revoked"
