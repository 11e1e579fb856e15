"""Where a Vault is, how we log in there, and how long we wait for it.

Always true here: a config that was made can be used, as far as that shows without asking anybody; TLS certificates are
always verified; a token goes in the clear to this very machine only, unless `plain_http` says that the network is safe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from tradewarden.errors import ConfigurationError
from tradewarden.ip import is_this_machine, web_address
from tradewarden.settings.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tradewarden.settings.library import ProviderSettings
    from tradewarden.settings.model import Settings
    from tradewarden.settings.vault import VaultAccess

SERVICE_ACCOUNT_TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_PLACE = re.compile(r"(?:[A-Za-z0-9_@+=,~-][A-Za-z0-9_.@+=,~ -]*/)*")
_TOKEN = re.compile(r"[!-~]+")
_NAMESPACE = re.compile(r"[A-Za-z0-9_.@+=,~/ -]{1,255}")


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A token that was given to us. It is renewed while it can be, and cannot be replaced when it ends."""

    token: Secret


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """An AppRole. `wrapped`: the secret ID is a response-wrapping token, which gives the real one once."""

    role_id: Secret
    secret_id: Secret | None = None
    wrapped: bool = False
    mount: str = "approle"


@dataclass(frozen=True, slots=True)
class KubernetesLogin:
    """A pod's service account; its token is read anew at each login, since Kubernetes replaces it."""

    role: str
    token_file: Path = SERVICE_ACCOUNT_TOKEN
    mount: str = "kubernetes"


@dataclass(frozen=True, slots=True)
class CertificateLogin:
    """The client certificate of the config. An empty role lets Vault choose."""

    role: str = ""
    mount: str = "cert"


Login: TypeAlias = TokenLogin | AppRoleLogin | KubernetesLogin | CertificateLogin


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate chain and its private key, PEM; read anew at each login."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultConfig:
    """One KV v2 engine of one Vault, and us in front of it. Raises `ConfigurationError` with every mistake.

    `prefix` stands before each secret's name and ends with a slash. `ca_file` replaces the system's roots. A call to
    Vault takes `total_seconds` at most, of which each wait for a connection and for the next bytes has its own bound;
    `attempts` counts for reads only. No more than `connections` are open; further calls wait for one.
    """

    url: str
    login: Login
    namespace: str = ""
    mount: str = "secret"
    prefix: str = "alphapulse/"
    ca_file: Path | None = None
    client_certificate: ClientCertificate | None = None
    plain_http: bool = False
    connect_seconds: float = 2.0
    read_seconds: float = 5.0
    total_seconds: float = 10.0
    attempts: int = 3
    connections: int = 8

    def __post_init__(self) -> None:
        mistakes = list(_mistakes(self))
        if mistakes:
            raise ConfigurationError(mistakes)

    @property
    def place(self) -> str:
        """Scheme, host and port, as messages name it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def path(self, name: str) -> str:
        """Return where a secret stands below the mount's `data/` and `metadata/`."""
        return self.prefix + name


def _mistakes(config: VaultConfig) -> Iterator[str]:
    yield from _address_mistakes(config)
    yield from _place_mistakes(config)
    yield from _login_mistakes(config)
    if min(config.connect_seconds, config.read_seconds, config.total_seconds) <= 0:
        yield "VAULT_CLIENT_TIMEOUT: times to wait are more than 0 seconds"
    if config.attempts < 1 or config.connections < 1:
        yield "Vault: attempts and connections are at least 1"


def _address_mistakes(config: VaultConfig) -> Iterator[str]:
    try:
        parts = web_address(config.url)
    except ValueError:
        parts = None
    if parts is None or parts.query or parts.fragment:
        yield "VAULT_URL: is no http or https address; write for example https://vault:8200"
    elif parts.username is not None or parts.password is not None:
        yield "VAULT_URL: carries a login in the address; Vault takes none there"
    elif parts.scheme == "http" and not config.plain_http and not is_this_machine(parts.hostname or ""):
        yield f"VAULT_URL: http to {parts.hostname} would send the token in the clear; use https"


def _place_mistakes(config: VaultConfig) -> Iterator[str]:
    if not _PLACE.fullmatch(config.mount + "/"):
        yield "VAULT_MOUNT: is no path of a secrets engine; write for example secret"
    if not _PLACE.fullmatch(config.prefix):
        yield "VAULT_PREFIX: is no path that ends with a slash; write for example alphapulse/"
    if config.namespace and not _NAMESPACE.fullmatch(config.namespace):
        yield "VAULT_NAMESPACE: is no namespace; write for example trading/bots"
    if not isinstance(config.login, TokenLogin) and not _PLACE.fullmatch(config.login.mount + "/"):
        yield "VAULT_AUTH_MOUNT: is no path of an auth method; write for example approle"


def _login_mistakes(config: VaultConfig) -> Iterator[str]:
    match config.login:
        case TokenLogin(token) if not _TOKEN.fullmatch(token.reveal()):
            yield "VAULT_TOKEN: is empty, or holds a space or a newline, which no token does"
        case AppRoleLogin(secret_id=None, wrapped=True):
            yield "VAULT_SECRET_ID: unset, while VAULT_SECRET_ID_WRAPPED is set"
        case AppRoleLogin(role_id) if not role_id.reveal():
            yield "VAULT_ROLE_ID: unset, and a login by AppRole needs it"
        case KubernetesLogin(role=""):
            yield "VAULT_ROLE: unset, and a login by Kubernetes needs it"
        case CertificateLogin():
            yield from _certificate_mistakes(config)


def _certificate_mistakes(config: VaultConfig) -> Iterator[str]:
    if config.client_certificate is None:
        yield "VAULT_CLIENT_CERT: unset, and a login by certificate needs it, together with VAULT_CLIENT_KEY"
    if config.url.lower().startswith("http:"):
        yield "VAULT_URL: a login by certificate needs https"


def vault_config(settings: Settings | ProviderSettings) -> VaultConfig:
    """Return the config that the environment describes; raises `ConfigurationError` naming its variables."""
    access = settings.vault
    certificate, key = access.client_cert, access.client_key
    return VaultConfig(
        url=access.url or "",
        login=_login(access),
        namespace=access.namespace or "",
        mount=access.mount.strip("/"),
        prefix="" if access.prefix == "/" else access.prefix,
        ca_file=access.cacert,
        client_certificate=ClientCertificate(certificate, key) if certificate and key else None,
        plain_http=settings.development,
        read_seconds=float(access.client_timeout),
        total_seconds=2.0 * access.client_timeout,
    )


def _login(access: VaultAccess) -> Login:
    mount = access.auth_mount
    match access.auth_method:
        case "approle":
            role_id = access.role_id or Secret("")
            return AppRoleLogin(role_id, access.secret_id, access.secret_id_wrapped, mount or "approle")
        case "kubernetes":
            return KubernetesLogin(access.role or "", access.jwt_path, mount or "kubernetes")
        case "cert":
            return CertificateLogin(access.role or "", mount or "cert")
        case _:
            return TokenLogin(access.token or Secret(""))
