"""The bootstrap rule (decision 2): every condition, and every known way around it."""

from __future__ import annotations

import msgspec
import pytest

from tradewarden.errors import AuthenticationError
from tradewarden.tokens.bootstrap import BOOTSTRAP, BootstrapRequest, admit

CURL = BootstrapRequest(
    environment="development",
    listener_loopback=True,
    peer_address="127.0.0.1",
    host_header="localhost:8002",
    port=8002,
    content_type="application/json",
    header_names=frozenset({"host", "content-type", "user-agent", "accept", "content-length"}),
)


def with_header(name: str) -> frozenset[str]:
    """Return curl's headers and one more."""
    return CURL.header_names | {name}


PROXY_HEADERS = (
    *("X-Real-IP", "CF-Connecting-IP", "CF-Ray", "True-Client-IP", "X-Original-Forwarded-For", "X-Original-URL"),
    *("X_Forwarded_For", "x_real_ip", "Client_IP", "X-Forward-For", "X-Envoy-External-Address", "X-ProxyUser-Ip"),
    *("Client-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Amzn-Trace-Id", "X-Request-Start", "X-Queue-Start"),
    *("X-Originating-IP", "X-Remote-Addr", "Fastly-Client-IP", "Fly-Client-IP", "Proxy-Connection", "Max-Forwards"),
    *("WL-Proxy-Client-IP", "X-Azure-ClientIP", "X-ARR-LOG-ID", "CDN-Loop", "Tailscale-User-Login", "X-Scheme"),
    *("Client-Cert", "X-SSL-Client-Cert", "X-Auth-Request-User", "l5d-dst-override", "X-Varnish", "X-Rewrite-URL"),
)
ADMITTED = {
    "curl": {},
    "127.0.0.1": {"host_header": "127.0.0.1:8002"},
    "IPv6": {"host_header": "[::1]:8002", "peer_address": "::1"},
    "another loopback peer": {"peer_address": "127.8.9.10"},
    "our other port": {"host_header": "localhost:9000", "port": 9000},
    "charset": {"content_type": "application/json; charset=utf-8"},
    "upper case type": {"content_type": "Application/JSON"},
    "a tool that traces": {"header_names": CURL.header_names | {"x-request-id", "traceparent", "x-b3-traceid"}},
    "another tool's own": {"header_names": CURL.header_names | {"x-client-info", "cookie", "x-requested-with"}},
}
REFUSED = {
    "staging": ({"environment": "staging"}, "environment"),
    "production": ({"environment": "production"}, "environment"),
    "no environment": ({"environment": ""}, "environment"),
    "listener on all addresses": ({"listener_loopback": False}, "listener"),
    "peer on the network": ({"peer_address": "192.168.1.7"}, "peer"),
    "peer of a container bridge": ({"peer_address": "172.17.0.1"}, "peer"),
    "peer that is no address": ({"peer_address": "localhost"}, "peer"),
    "peer with a zone": ({"peer_address": "fe80::1%lo"}, "peer"),
    "peer unknown": ({"peer_address": None}, "peer"),
    "peer on a Unix socket": ({"peer_address": ""}, "peer"),
    "DNS rebinding": ({"host_header": "attacker.example:8002"}, "Host"),
    "DNS rebinding, our name inside": ({"host_header": "localhost.attacker.example:8002"}, "Host"),
    "a user in the name": ({"host_header": "localhost:8002@attacker.example"}, "Host"),
    "other port (port-forward)": ({"host_header": "localhost:18002"}, "Host"),
    "no port": ({"host_header": "localhost"}, "Host"),
    "no Host": ({"host_header": None}, "Host"),
    "empty Host": ({"host_header": ""}, "Host"),
    "trailing dot": ({"host_header": "localhost.:8002"}, "Host"),
    "IPv6 without brackets": ({"host_header": "::1:8002"}, "Host"),
    "decimal address": ({"host_header": "2130706433:8002"}, "Host"),
    "all-zero address": ({"host_header": "0.0.0.0:8002"}, "Host"),
    "a page by script": ({"header_names": with_header("Origin")}, "browser"),
    "a page by form or image": ({"header_names": with_header("Sec-Fetch-Site")}, "browser"),
    "RFC 7239 proxy": ({"header_names": with_header("Forwarded")}, "proxy"),
    "sidecar": ({"header_names": with_header("X-Forwarded-For")}, "proxy"),
    "sidecar, client certificate": ({"header_names": with_header("x-forwarded-client-cert")}, "proxy"),
    "gateway": ({"header_names": with_header("X-FORWARDED-PROTO")}, "proxy"),
    "HTTP/1 proxy": ({"header_names": with_header("Via")}, "proxy"),
    **{f"proxy's {name}": ({"header_names": with_header(name)}, "proxy") for name in PROXY_HEADERS},
    "nginx as it comes": ({"http_version": "1.0"}, "HTTP/1.1"),
    "an HTTP nobody asked for": ({"http_version": ""}, "HTTP/1.1"),
    "a form's text/plain": ({"content_type": "text/plain"}, "content type"),
    "a form": ({"content_type": "application/x-www-form-urlencoded"}, "content type"),
    "JSON in a comment": ({"content_type": "text/plain; application/json"}, "content type"),
    "a relative of JSON": ({"content_type": "application/json-patch+json"}, "content type"),
    "no content type": ({"content_type": None}, "content type"),
}


@pytest.mark.parametrize("changed", ADMITTED.values(), ids=ADMITTED)
def test_the_developers_own_machine_is_admitted(changed: dict[str, object]) -> None:
    """A local tool that talks to us directly gets to ask, as nobody, for reading and writing."""
    principal, permissions = admit(msgspec.structs.replace(CURL, **changed))
    assert principal == BOOTSTRAP
    assert str(principal).startswith("anonymous:")
    assert permissions.allows("secrets:read", "x")
    assert not permissions.allows("services:manage", "x")


@pytest.mark.parametrize(("changed", "reason"), REFUSED.values(), ids=REFUSED)
def test_everything_else_is_refused(changed: dict[str, object], reason: str) -> None:
    """One failed condition is enough; the log names it, the caller learns nothing of it."""
    with pytest.raises(AuthenticationError) as refused:
        admit(msgspec.structs.replace(CURL, **changed))
    assert refused.value.reason.startswith("bootstrap: ")
    assert reason in refused.value.reason
    assert str(refused.value) == "Authentication required"
