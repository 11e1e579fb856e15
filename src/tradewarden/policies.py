"""From settings to the rules of the rooms. Pure, but for the environment that root keys may stand in."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tradewarden.acme.acme import AcmePolicy
from tradewarden.crypto.pkcs11 import Access, Token
from tradewarden.ip import is_this_machine, parse
from tradewarden.keys.source import PASSPHRASE_VARIABLE, RootSources
from tradewarden.pki.certificate.algorithm import Algorithm
from tradewarden.pki.policy import Policy
from tradewarden.tokens.policy import TokenPolicy

if TYPE_CHECKING:
    from tradewarden.settings import Settings


def refusals(settings: Settings) -> dict[str, str]:
    """Return which parts are not to be had, by the variable that says so, and why."""
    found = {}
    if not settings.enable_jwt:
        found["ENABLE_JWT"] = "JWT tokens are turned off (ENABLE_JWT=false)"
    if not settings.enable_mtls:
        found["ENABLE_MTLS"] = "Certificates are turned off (ENABLE_MTLS=false)"
    if settings.vault_missing and not settings.development:
        missing = " and ".join(settings.vault_missing)
        found["ENABLE_VAULT"] = f"ENABLE_VAULT=true, and secrets cannot go to Vault: set {missing}"
    return found


def warnings(settings: Settings) -> list[str]:
    """Return what an operator should know at the start, in words."""
    found = []
    if settings.vault_missing and settings.development:
        missing = " and ".join(settings.vault_missing)
        found.append(f"ENABLE_VAULT=true without {missing}: secrets stay in the local store")
    vault = urlsplit(settings.vault.url or "")
    if settings.enable_vault and vault.scheme == "http" and not is_this_machine(vault.hostname or ""):
        found.append(f"VAULT_URL is http: Vault's token goes to {vault.hostname} in the clear")
    if settings.development and not settings.loopback:
        found.append(
            f"development on {settings.host}, which others can reach: tokens are not given without credentials here"
        )
    if settings.enable_mtls and pointed_to(settings).startswith("https:"):
        found.append(
            "certificates point to https for their revocation lists and OCSP, which most verifiers do not follow;"
            " TRADEWARDEN_CA_HTTP_PORT serves these alone in plain http"
        )
    return found


def token_policy(settings: Settings) -> TokenPolicy:
    """Return the rules for tokens that the settings give."""
    return TokenPolicy(
        algorithm=settings.jwt_algorithm,
        lifetime_seconds=settings.jwt_expiration_hours * 3600,
        refresh_absolute_days=settings.refresh_days,
        unregistered_ceiling=("read", "write") if settings.development else (),
    )


def pki_policy(settings: Settings) -> Policy:
    """Return the rules for certificates that the settings give."""
    return Policy(
        trust_domain=settings.trust_domain,
        algorithm=Algorithm(settings.ca_algorithm),
        validity_days=settings.cert_validity_days,
        renewal_grace_hours=settings.renewal_grace_hours,
        ca_cert_path=settings.ca_cert_path,
        ca_key_path=settings.ca_key_path,
        ca_keys=settings.ca_keys,
        profiles=settings.cert_profiles,
        overlap_days=settings.ca_overlap_days,
        announce_seconds=settings.ca_announce_minutes * 60,
        access=_access(settings),
        public_url=pointed_to(settings),
        own_names=_own_names(settings),
    )


def public_url(settings: Settings) -> str:
    """Return where others reach this service; empty when the settings name no one place."""
    if settings.public_url is not None:
        return settings.public_url
    try:
        address = ip_address(settings.host)
        host = f"[{address}]" if address.version == 6 else settings.host  # noqa: PLR2004
        somewhere = not address.is_unspecified
    except ValueError:
        host, somewhere = settings.host, True
    behind = settings.development or settings.trusted_proxies
    scheme = "https" if settings.tls_cert is not None or not behind else "http"
    return f"{scheme}://{host}:{settings.port}" if somewhere and settings.port else ""


def pointed_to(settings: Settings) -> str:
    """Return where certificates point: in plain HTTP where there is a port for that (RFC 5280 section 8)."""
    url = urlsplit(public_url(settings))
    if not settings.ca_http_port or url.scheme != "https":
        return url.geturl()
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"http://{host}:{settings.ca_http_port}"


def ca_token(settings: Settings) -> Token | None:
    """Return the token that certificates are signed in, when there is one."""
    return Token(settings.ca_keys, _access(settings)) if settings.ca_keys is not None else None


def _access(settings: Settings) -> Access:
    return Access(settings.pkcs11_module, settings.pkcs11_pin)


def acme_policy(settings: Settings) -> AcmePolicy:
    """Return the rules for ACME that the settings give."""
    return AcmePolicy(
        base=settings.acme_url or public_url(settings),
        http_port=settings.acme_http_port,
        dns=settings.acme_dns,
        listeners=(settings.port, settings.mtls_port, *((settings.ca_http_port,) if settings.ca_http_port else ())),
        near=settings.development,
    )


def root_sources(settings: Settings) -> RootSources:
    """Return where root keys come from: the configured source, and others by their URI."""
    passphrase = {PASSPHRASE_VARIABLE: settings.passphrase.reveal()} if settings.passphrase else {}
    return RootSources(settings.root_key.reveal(), {**os.environ, **passphrase}, _access(settings))


def _own_names(settings: Settings) -> frozenset[str]:
    """Return what this service alone is called; who speaks to loopback finds any service of the host.

    Nothing where a proxy stands in front: that one answers to the public name, and is registered for it as any service.
    """
    if settings.trusted_proxies:
        return frozenset()
    names, addresses = listener_names(settings)
    return frozenset(names) - {"localhost"} | {each for each in addresses if not ip_address(each).is_loopback}


def listener_names(settings: Settings) -> tuple[list[str], list[str]]:
    """Return the DNS names and IP addresses that our listeners' certificate bears: how this host and others call us.

    Each is written as certificates have it: a name in small letters and without the dot of the root, which an address
    in the web may end in (RFC 3986 section 3.2.2).
    """
    names, addresses = {"localhost"}, {"127.0.0.1", "::1"}
    urls = (settings.public_url or "", settings.acme_url or "")
    for host in filter(None, (settings.host, *(urlsplit(each).hostname for each in urls))):
        address = parse(host)
        if address is None:
            names.add(host.lower().removesuffix("."))
        elif not address.is_unspecified:
            addresses.add(str(address))
    return sorted(names), sorted(addresses)
