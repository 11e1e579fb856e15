"""The bootstrap rule: a token without credentials, on the developer's own machine only (decision 2). Pure.

Every condition must hold; the first that does not is named in the error's reason. A page in a browser, a rebound DNS
name, a port-forward, a proxy and a sidecar each fail at least one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tradewarden.access.permission import PermissionSet
from tradewarden.access.principal import Kind, Principal
from tradewarden.errors import AuthenticationError
from tradewarden.ip import is_loopback
from tradewarden.tokens.policy import DAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOTSTRAP: Final = Principal(Kind.ANONYMOUS, "bootstrap")
"""Who asks under this rule: nobody is proven, and it stands so in the audit log."""
BOOTSTRAP_TEXT: Final = str(BOOTSTRAP)
"""Who issued a token of this rule, and every token that was asked for with one, as the register has it."""
HANDED_ON: Final = PermissionSet(("read", "write"))
"""The most that a token under this rule gets."""
RIGHTS: Final = PermissionSet((*HANDED_ON.names, "tokens:issue"))
"""What the caller may do: ask, and hand on no more than that."""
LIFETIME_SECONDS: Final = DAY_SECONDS
_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_BROWSER_HEADERS = ("origin", "sec-fetch-site")
_PROXY_HEADERS = ("forwarded", "via")
_PROXY_PREFIX = "x-forwarded"


class BootstrapRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule looks at: the raw socket and the headers as they came, before any proxy header was believed.

    `listener_loopback`: every address that the service listens on is a loopback address. `header_names` in any case.
    `host_header` and `content_type` are None when the header is missing or there more than once.
    """

    environment: str
    listener_loopback: bool
    peer_address: str | None
    host_header: str | None
    port: int
    content_type: str | None
    header_names: frozenset[str]


def admit(request: BootstrapRequest) -> tuple[Principal, PermissionSet]:
    """Return who asks and what may be handed on; raises `AuthenticationError`."""
    for failed in _failures(request):
        raise AuthenticationError("Authentication required", reason=f"bootstrap: {failed}")
    return BOOTSTRAP, RIGHTS


def _failures(request: BootstrapRequest) -> Iterator[str]:
    if request.environment != "development":
        yield "the environment is not development"
    if not request.listener_loopback:
        yield "the listener is not bound to loopback"
    if not is_loopback(request.peer_address or ""):
        yield "the peer is not on loopback"
    names = {name.lower() for name in request.header_names}
    if any(name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIX) for name in names):
        yield "a proxy forwarded the request"
    if names.intersection(_BROWSER_HEADERS):
        yield "a browser sent the request"
    if request.host_header not in {f"{host}:{request.port}" for host in _HOSTS}:
        yield "Host is not this listener by a loopback name"
    if not _is_json(request.content_type):
        yield "the content type is not application/json"


def _is_json(content_type: str | None) -> bool:
    return (content_type or "").partition(";")[0].strip().lower() == "application/json"
