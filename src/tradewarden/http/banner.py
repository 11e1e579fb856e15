"""What a start tells a newcomer: where the service listens, where the admin token lies, three calls to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradewarden.http.binding import Port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.settings import Settings


def base_url(settings: Settings, port: int) -> str:
    """Return the URL under which this very machine reaches the service, `port` being the one it has."""
    scheme = "https" if settings.tls_cert is not None or _own_certificate(settings) else "http"
    return f"{scheme}://{_host(settings)}:{port}"


def _host(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _own_certificate(settings: Settings) -> bool:
    """Tell whether the listener shows a certificate of our own CA."""
    return settings.tls_cert is None and not (settings.development or settings.trusted_proxies)


def banner(settings: Settings, ports: Mapping[Port, int]) -> str:
    """Return the lines that are printed once everything is ready; the ports are those that were bound."""
    url, mutual = base_url(settings, ports[Port.API]), "off"
    if Port.MUTUAL in ports:
        mutual = f"https://{_host(settings)}:{ports[Port.MUTUAL]}  (client certificate required)"
    token_file = settings.data_dir / "admin.token"
    curl = f"curl --cacert {settings.data_dir / 'ca/ca_cert.pem'}" if _own_certificate(settings) else "curl"
    lines = [
        "",
        f"Tradewarden listens on {url}",
        f"mTLS:        {mutual}",
        *([f"Lists, OCSP: http://{_host(settings)}:{ports[Port.CA]}"] if Port.CA in ports else []),
        f"Data:        {settings.data_dir}",
        f"Admin token: {token_file}  (good for 24 hours; 'tradewarden admin token' makes another)",
        "",
        "Try:",
        f"  {curl} {url}/health",
    ]
    if settings.development and settings.loopback:
        body = '{"service_name": "demo", "permissions": ["read", "write"]}'
        lines.append(f"  {curl} -H 'Content-Type: application/json' -d '{body}' {url}/tokens/generate")
    lines += [
        f'  {curl} -H "Authorization: Bearer $(cat {token_file})" {url}/services',
        "",
    ]
    return "\n".join(lines)
