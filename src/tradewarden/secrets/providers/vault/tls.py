"""What connections to Vault are made with."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from tradewarden.errors import ConfigurationError

if TYPE_CHECKING:
    from tradewarden.secrets.providers.vault.config import VaultConfig


def tls_context(config: VaultConfig) -> ssl.SSLContext:
    """Return what connections are made with: TLS 1.2 or newer, verified. Raises `ConfigurationError` naming a file."""
    mistakes: list[str] = []
    context = ssl.create_default_context()
    if config.ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(config.ca_file)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            mistakes.append(f"VAULT_CACERT: {config.ca_file} holds no certificates that can be read ({_kind(error)})")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pair = config.client_certificate
    if pair is not None:
        try:
            context.load_cert_chain(pair.certificate, pair.key, password=_no_password)
        except (OSError, ValueError) as error:
            mistakes.append(
                f"VAULT_CLIENT_CERT, VAULT_CLIENT_KEY: {pair.certificate} and {pair.key} are no certificate with its "
                f"key, PEM and without a password ({_kind(error)})"
            )
    if mistakes:
        raise ConfigurationError(mistakes)
    return context


def _no_password() -> str:
    """Answer OpenSSL's question for a password, which would stop a service at a terminal."""
    raise ValueError("the key has a password")


def _kind(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
