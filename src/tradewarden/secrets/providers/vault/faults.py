"""From Vault's answers to our errors, each to exactly one; and what an operator looks at then. Pure.

Always true here: no message holds a token or a value. What Vault itself said goes into the reason, cut short.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tradewarden.errors import ProviderRefusedError, ProviderUnavailableError

if TYPE_CHECKING:
    from tradewarden.errors import TradewardenError
    from tradewarden.secrets.providers.vault.answers import Answer

_SAID: Final = 200
_BEHIND: Final = 412
_CAUSES: Final = {
    _BEHIND: "this node is behind and did not catch up in time (412)",
    429: "it limits how often we call (429); look at its rate limit quotas",
}
_HEALTH: Final = {
    200: "",
    429: "",  # a standby, which passes requests on
    473: "",  # a performance standby, which does too
    472: "it is a disaster recovery secondary; set VAULT_URL to the primary",
    501: "it is not initialised; run 'vault operator init'",
    503: "it is sealed; unseal it with 'vault operator unseal'",
}
"""What `sys/health` says by its status."""
_WORTH_ANOTHER_TRY: Final = frozenset({_BEHIND, 429, 500, 502, 503, 504})


def is_sealed(answer: Answer) -> bool:
    """Tell whether Vault says that it is sealed: then no second try within this call helps."""
    return answer.status == HTTPStatus.SERVICE_UNAVAILABLE and "sealed" in answer.errors()


def may_pass(answer: Answer) -> bool:
    """Tell whether a read that was answered so may succeed a moment later."""
    if answer.silence is not None:
        return answer.silence.name == "RESET"
    return answer.status in _WORTH_ANOTHER_TRY and not is_sealed(answer)


def unavailable(answer: Answer, place: str, what: str, *, change: bool) -> ProviderUnavailableError:
    """Return the error for a Vault that gave no usable answer. `what` is what was asked, such as `read a/b`."""
    detail = f"Vault at {place} is not available: {_cause(answer)}"
    if change and _may_be_made(answer):
        detail += ". The change may have been made nevertheless; read before you repeat it"
    said = answer.why or answer.errors() or _elsewhere(answer)
    status = f" status {answer.status}" if answer.status else ""
    return ProviderUnavailableError(detail, reason=f"vault:{status} to {what}: {said[:_SAID] or _cause(answer)}")


def _may_be_made(answer: Answer) -> bool:
    """Tell whether a change may have reached Vault before things went wrong."""
    if answer.silence is not None:
        return answer.silence.name in {"TIMEOUT", "RESET", "TOO_LARGE"}
    return answer.status in {500, 502, 504}


def _cause(answer: Answer) -> str:
    if answer.silence is not None:
        return answer.silence.value
    if 300 <= answer.status < 400:  # noqa: PLR2004 - the class of RFC 9110 15.4
        return (
            f"it sends us on to another address ({answer.status}), as a standby does, and redirects are not followed; "
            "set VAULT_URL to the active node, or to a load balancer that asks /v1/sys/health"
        )
    if is_sealed(answer):
        return "it is sealed (or not initialised); unseal it with 'vault operator unseal'"
    if "active" in answer.errors() and answer.status in {500, 503}:
        return "it has no active node just now; look at 'vault status' and the cluster's log"
    return _CAUSES.get(answer.status) or f"it answered with status {answer.status}; look at Vault's log"


def _elsewhere(answer: Answer) -> str:
    """Return where a redirect points, for the log."""
    parts = urlsplit(answer.location) if answer.location.isprintable() else urlsplit("")
    return f"{parts.scheme}://{parts.netloc}"[:_SAID] if parts.netloc else ""


def health_cause(answer: Answer) -> str:
    """Return why `sys/health` says that this node cannot work, in words; empty when it can."""
    if answer.silence is None and answer.status in _HEALTH:
        return _HEALTH[answer.status]
    return _cause(answer)


def no_engine(place: str, mount: str, answer: Answer) -> ProviderUnavailableError:
    """Return the error for a mount where no KV version 2 answers: nothing is known of any secret then."""
    return ProviderUnavailableError(
        f"Vault at {place} has no KV engine of version 2 at '{mount}'; look at VAULT_MOUNT, VAULT_NAMESPACE and "
        "'vault secrets list -detailed'",
        reason=f"vault: no KV version 2 at '{mount}': status {answer.status} {answer.errors()[:_SAID]}".rstrip(),
    )


def not_permitted(place: str, what: str) -> ProviderRefusedError:
    """Return the error for a token that is good and may not do this."""
    return ProviderRefusedError(
        f"Vault at {place} does not let our token {what}; look at the policies of the token or role",
        reason=f"vault: permission denied to {what}",
    )


def token_ended(place: str) -> ProviderRefusedError:
    """Return the error for a token that was given to us and is none any more."""
    return ProviderRefusedError(
        f"The token for Vault at {place} has ended, was revoked or is none of its; put a new one into VAULT_TOKEN, or "
        "choose a login that renews itself (VAULT_AUTH_METHOD)",
        reason="vault: the given token is not valid (any more)",
    )


def login_refused(place: str, method: str, look: str, answer: Answer) -> ProviderRefusedError:
    """Return the error for a login that Vault does not accept."""
    return ProviderRefusedError(
        f"Vault at {place} refuses the login by {method}; look at {look}",
        reason=f"vault: status {answer.status} to the login by {method}: {answer.errors()[:_SAID]}",
    )


def login_fault(answer: Answer, place: str, method: str, look: str) -> TradewardenError:
    """Return the error for a login that did not work."""
    if answer.status in {400, 403, 404}:
        return login_refused(place, method, look, answer)
    return unavailable(answer, place, f"log in by {method}", change=False)
