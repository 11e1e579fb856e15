"""What an exchange's refusal means, in words of ours.

Always true here: nothing that ccxt or the exchange wrote is repeated, but a number: ccxt's texts hold whole addresses
with key and signature in them, and an exchange may send back what it was sent.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final, NamedTuple

from tradewarden.errors import RotationFailedError, TradewardenError, UnavailableError

_NUMBER: Final = re.compile(r'"(?:code|retCode|error_code)"\s*:\s*"?(-?\d{1,7})\b')
# Whole phrases: a text may hold the request too, and that has a parameter called signature.
_SIGNATURE: Final = re.compile(
    r"invalid sign|error sign,|signature for this request|signature (?:mismatch|verification)|sign(?:ature)? (?:is )?"
    r"(?:not|invalid|wrong|incorrect)",
    re.IGNORECASE,
)
_ADDRESS: Final = re.compile(
    r"unmatched ip\b|api-key, ip,|\bip (?:address|not|is not|restrict)|whitelist", re.IGNORECASE
)


class NotAllowedError(Exception):
    """A request would have gone where it may not; says why, without the rest of its address."""


class TooMuchError(Exception):
    """An answer was larger than any balance."""


class Cause(StrEnum):
    """Why a key could not be used."""

    KEY = "key"
    PERMISSION = "permission"
    CLOCK = "clock"
    UNREACHABLE = "unreachable"
    NOT_ALLOWED = "not_allowed"
    OTHER = "other"


class Refusal(NamedTuple):
    """A cause, and what to look at in words."""

    cause: Cause
    words: str

    def error(self, exchange: str) -> TradewardenError:
        """Return the error of ours for it."""
        text = f"{exchange}: {self.words}"
        return UnavailableError(text) if self.cause is Cause.UNREACHABLE else RotationFailedError(text)


class _Rule(NamedTuple):
    """An error of ccxt by its class, or one below it, and by a word in its text; what it means."""

    name: str
    text: re.Pattern[str] | None
    cause: Cause
    words: str


_RULES: Final = (
    _Rule(
        "InvalidNonce",
        None,
        Cause.CLOCK,
        "it says that the request is too old or too new; set this host's clock, and let nobody else use the key yet",
    ),
    _Rule(
        "PermissionDenied",
        _ADDRESS,
        Cause.PERMISSION,
        "the key is known, and this host's IP address is not on its list; see its settings at the exchange",
    ),
    _Rule(
        "PermissionDenied",
        None,
        Cause.PERMISSION,
        "the key is known, and lacks the permission to read; see its settings at the exchange",
    ),
    _Rule("AccountSuspended", None, Cause.PERMISSION, "the account is suspended or may not be used over the API"),
    _Rule(
        "ExchangeError",
        _SIGNATURE,
        Cause.KEY,
        "the signature is wrong; the secret (or the passphrase) is not the one of this key",
    ),
    _Rule(
        "AuthenticationError",
        _ADDRESS,
        Cause.KEY,
        "the key is not accepted: it is wrong, not active yet or ended, lacks the permission to read, or this host's "
        "IP address is not on its list",
    ),
    _Rule("AuthenticationError", None, Cause.KEY, "the key is not accepted: it is wrong, not active yet or ended"),
    _Rule("NotSupported", None, Cause.OTHER, "ccxt has no sandbox of it, or cannot fetch its balance"),
    _Rule("RateLimitExceeded", None, Cause.UNREACHABLE, "it has been asked too often; try again later"),
    _Rule("DDoSProtection", None, Cause.UNREACHABLE, "it has been asked too often; try again later"),
    _Rule("RequestTimeout", None, Cause.UNREACHABLE, "it does not answer in time"),
    _Rule("NetworkError", None, Cause.UNREACHABLE, "it cannot be reached or is out of order"),
    _Rule("BaseError", None, Cause.OTHER, "it refuses to tell the balance"),
)


def refusal(ccxt: Any, error: Exception) -> Refusal:  # noqa: ANN401  (ccxt has no types)
    """Return what an error of ccxt, or beneath it, means."""
    if isinstance(error, NotAllowedError):
        return Refusal(Cause.NOT_ALLOWED, str(error))
    if isinstance(error, TooMuchError):
        return Refusal(Cause.OTHER, "its answer is larger than any balance; see whether the address is the exchange's")
    if "SSL" in type(error.__cause__).__name__:
        return Refusal(Cause.OTHER, "TLS with it failed; its certificate is not accepted")
    text = str(error)
    for rule in _RULES:
        if isinstance(error, getattr(ccxt, rule.name)) and (rule.text is None or rule.text.search(text)):
            number = _NUMBER.search(text)
            return Refusal(rule.cause, rule.words + (f" (its code {number[1]})" if number else ""))
    return Refusal(
        Cause.OTHER,
        f"ccxt cannot use this key or read the answer ({type(error).__name__}); see whether key and secret are whole",
    )
