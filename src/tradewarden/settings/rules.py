"""Rules that look at more than one variable. Each yields one sentence a mistake."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from tradewarden.settings import table
from tradewarden.settings.model import Settings
from tradewarden.settings.pkcs11 import TokenUri

LEAST_BCRYPT_COST = 10
_PREFIX = "TRADEWARDEN_"
_ELSEWHERE = "use env:NAME, passphrase: or pkcs11:"

# They decide what is trusted, so a file that lies in a working directory must not (decision 23).
NOT_FROM_DOTENV = (
    "ALPHAPULSE_ENV",
    "TRADEWARDEN_ROOT_KEY",
    "TRADEWARDEN_PASSPHRASE",
    "TRADEWARDEN_PKCS11_MODULE",
    "TRADEWARDEN_PKCS11_PIN",
    "TRADEWARDEN_CA_KEYS",
    "TRADEWARDEN_ROTATION_HOSTS",
    "ENABLE_VAULT",
    "VAULT_URL",
    "VAULT_AUTH_METHOD",
    "VAULT_AUTH_MOUNT",
    "VAULT_ROLE",
    "VAULT_JWT_PATH",
    "VAULT_CLIENT_CERT",
    "VAULT_CLIENT_KEY",
    "VAULT_CACERT",
    "VAULT_NAMESPACE",
    "VAULT_MOUNT",
    "VAULT_PREFIX",
    "AWS_ENDPOINT_URL",
)

OF_LIBRARIES_NOT_FROM_DOTENV = (
    "ALPHAPULSE_ENV",
    *(name for name in NOT_FROM_DOTENV if name.startswith("VAULT_")),
    "AWS_ENDPOINT_URL",
    "TRADEWARDEN_SECRET_PROVIDERS",
    "TRADEWARDEN_URL",
    "TRADEWARDEN_CA_FILE",
)

# What Kubernetes sets in every pod for a Service that is called tradewarden.
_SERVICE_LINK = re.compile(
    r"TRADEWARDEN_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)"
)


def together(settings: Settings, given: Collection[str]) -> Iterator[str]:
    """Yields mistakes between variables that hold in every environment."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing = table.TLS_CERT.name if settings.tls_cert is None else table.TLS_KEY.name
        yield f"{missing}: unset, while the other half is set; set both or neither"
    tokens = [uri for uri in (settings.ca_keys, settings.ca_key_path) if isinstance(uri, TokenUri)]
    if settings.pkcs11_module is None and any(uri.module_path is None for uri in tokens):
        yield "TRADEWARDEN_PKCS11_MODULE: unset, while a key is in a token; name the module, or add ?module-path="
    if settings.ca_keys is not None and settings.ca_algorithm == "Ed25519":
        yield "TRADEWARDEN_CA_ALGORITHM: Ed25519 keys are not made in a token; use P-256, P-384 or RSA-3072"
    if settings.enable_mtls and settings.port == settings.mtls_port != 0:
        yield f"TRADEWARDEN_MTLS_PORT: {settings.mtls_port} is SERVICE_PORT's too; choose another, or 0 for any free"
    if settings.ca_http_port and settings.ca_http_port in (settings.port, settings.mtls_port):
        yield f"TRADEWARDEN_CA_HTTP_PORT: {settings.ca_http_port} is another listener's too; choose another"
    if (settings.vault.client_cert is None) != (settings.vault.client_key is None):
        missing = table.VAULT_CLIENT_CERT.name if settings.vault.client_cert is None else table.VAULT_CLIENT_KEY.name
        yield f"{missing}: unset, while the other half is set; set both or neither"
    if table.CA_KEY_PATH.name in given and table.CA_CERT_PATH.name not in given:
        yield "CA_CERT_PATH: unset, while CA_KEY_PATH is set; name the certificate of that key"


def outside_development(settings: Settings, given: Mapping[str, str]) -> Iterator[str]:
    """Yields each development default that staging and production refuse."""
    if settings.development:
        return
    where = f"in {settings.environment}"
    root = given.get(table.ROOT_KEY.name)
    if root is None:
        yield f"TRADEWARDEN_ROOT_KEY: unset, and {where} no root key is made up on disk; {_ELSEWHERE}"
    elif root.startswith("file:"):
        yield f"TRADEWARDEN_ROOT_KEY: a root key on disk (file:) is refused {where}; {_ELSEWHERE}"
    yield from placeholders(settings.environment, given)
    if "*" in settings.cors_origins:
        yield f"TRADEWARDEN_CORS_ORIGINS: the wildcard * is refused {where}; list the origins"
    if settings.bcrypt_cost < LEAST_BCRYPT_COST:
        yield (f"TRADEWARDEN_BCRYPT_COST: {settings.bcrypt_cost} is too cheap {where}; use {LEAST_BCRYPT_COST} or more")


def placeholders(environment: str, given: Mapping[str, str]) -> Iterator[str]:
    """Yields each placeholder of `.env.example` that was left as it is outside development."""
    for variable in table.VARIABLES:
        if environment != "development" and variable.placeholder and given.get(variable.name) == variable.placeholder:
            yield (f"{variable.name}: holds the placeholder of .env.example, refused in {environment}; set your own")


def library_from_dotenv(environment: str, dotenv: Mapping[str, str]) -> Iterator[str]:
    """Yields what `.env` sets for a program that reads secrets and may not set outside development."""
    if environment != "development":
        yield from _set_in(dotenv, OF_LIBRARIES_NOT_FROM_DOTENV, environment)


def _set_in(dotenv: Mapping[str, str], names: Collection[str], environment: str) -> Iterator[str]:
    for name in names:
        for form in (name, f"{name}_FILE"):
            if form in dotenv:
                yield f"{form}: .env may not set it in {environment}; set it in the process's environment"


def from_dotenv(settings: Settings, dotenv: Mapping[str, str]) -> Iterator[str]:
    """Yields what `.env` sets and may not set outside development."""
    if settings.development:
        return
    yield from _set_in(dotenv, NOT_FROM_DOTENV, settings.environment)
    if isinstance(settings.ca_key_path, TokenUri) and table.CA_KEY_PATH.name in dotenv:
        yield f"CA_KEY_PATH: .env may not name a token in {settings.environment}; set it in the process's environment"


_OF_CLIENTS = {
    "TRADEWARDEN_URL",
    "TRADEWARDEN_TOKEN",
    "TRADEWARDEN_TOKEN_FILE",
    "TRADEWARDEN_CA_FILE",
    "TRADEWARDEN_MTLS_URL",
    "TRADEWARDEN_JOIN_TOKEN",
}
"""Read by the command line alone, which may share a shell with a service or a library."""
_OF_HOOKS = "TRADEWARDEN_IDENTITY_"
"""Begins what the command of `ca renew --on-change` finds in its environment; it may call the command line in turn."""


def unknown(names: Collection[str], root_key: str) -> Iterator[str]:
    """Yields TRADEWARDEN_ names that no table row has: a typing error would go unseen else."""
    known = {variable.name for variable in table.VARIABLES} | _OF_CLIENTS
    # env:NAME lets the operator choose the name.
    named = set(re.findall(r"[A-Z][A-Z0-9_]*", root_key))
    for name in sorted(names):
        base = name.removesuffix("_FILE")
        ours = name.startswith(_PREFIX) and not name.startswith(_OF_HOOKS) and not {name, base} & (known | named)
        if ours and not _SERVICE_LINK.fullmatch(name):
            yield f"{name}: no such setting; {_suggestion(name, known)}"


def _suggestion(name: str, known: Collection[str]) -> str:
    # Imported here: only a mistake needs it.
    from difflib import get_close_matches

    # Compared without the prefix, which would make every name look close.
    wanted = name.removeprefix(_PREFIX).removesuffix("_FILE")
    ours = sorted(other.removeprefix(_PREFIX) for other in known if other.startswith(_PREFIX))
    close = get_close_matches(wanted, ours, n=1)
    return f"did you mean {_PREFIX}{close[0]}?" if close else "see .env.example for all names"
