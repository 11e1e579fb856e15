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
_PROXY_PREFIXES: Final = (
    *("forwarded", "x-forward", "via", "x-via", "max-forwards", "proxy-", "x-proxy", "wl-proxy-", "x-rewrite-"),
    *("client-ip", "x-client-ip", "x-cluster-", "x-real-", "x-remote-", "x-origin", "true-client-"),
    *("x-scheme", "x-url-scheme", "front-end-https", "x-request-start", "x-queue-start", "x-nginx-", "x-varnish"),
    *("client-cert", "x-client-cert", "ssl-client-", "x-ssl-", "x-auth-request-", "x-envoy-", "l5d-", "tailscale-"),
    *("cf-", "cdn-", "fastly-", "fly-", "akamai-", "x-akamai-", "incap-", "surrogate-", "x-vercel-", "x-nf-"),
    *("x-amzn-", "x-amz-cf-", "x-appengine-", "x-cloud-trace-context", "x-azure-", "x-arr-"),
)
"""How the names begin of what a proxy, a sidecar, a gateway or a tunnel adds and a tool on this machine does not send:
its peer is on loopback and whoever stands behind it is not. `_` counts as `-`, as with the servers that mix them."""
_HTTP_VERSION = "1.1"
"""What tools speak. A reverse proxy that was set up with no more than an address speaks HTTP/1.0 and adds no header."""


class BootstrapRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule looks at: the raw socket and the headers as they came, before any proxy header was believed.

    `listener_loopback`: every address that the service listens on is a loopback address. `header_names` in any case.
    `host_header` and `content_type` are None when the header is missing or there more than once. `http_version` as it
    stands in the request line.
    """

    environment: str
    listener_loopback: bool
    peer_address: str | None
    host_header: str | None
    port: int
    content_type: str | None
    header_names: frozenset[str]
    http_version: str = _HTTP_VERSION


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
    if request.http_version != _HTTP_VERSION:
        yield "the request is not HTTP/1.1, as a proxy's is"
    names = {name.lower().replace("_", "-") for name in request.header_names}
    if any(name.startswith(_PROXY_PREFIXES) for name in names):
        yield "a proxy forwarded the request"
    if names.intersection(_BROWSER_HEADERS):
        yield "a browser sent the request"
    if request.host_header not in {f"{host}:{request.port}" for host in _HOSTS}:
        yield "Host is not this listener by a loopback name"
    if not _is_json(request.content_type):
        yield "the content type is not application/json"


def _is_json(content_type: str | None) -> bool:
    return (content_type or "").partition(";")[0].strip().lower() == "application/json"
