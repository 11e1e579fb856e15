"""What the rest of the service sees of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tradewarden.ip import is_this_machine
from tradewarden.settings.kinds import Network, RateLimit
from tradewarden.settings.pkcs11 import TokenUri
from tradewarden.settings.secret import Secret
from tradewarden.settings.table import (
    AuditSync,
    CaAlgorithm,
    CertProfile,
    Environment,
    LogFormat,
    LogLevel,
    TokenAlgorithm,
)
from tradewarden.settings.vault import VaultAccess


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Checked settings; each field is one row of `table`, units are in the names.

    `root_key` is a URI (`file:`, `env:`, `passphrase:`, `pkcs11:`). No `allowed_ips` means any address.
    """

    environment: Environment
    data_dir: Path
    database_path: Path
    root_key: Secret
    passphrase: Secret | None
    pkcs11_module: Path | None
    pkcs11_pin: Secret | None
    encryption_key: Secret | None

    host: str
    port: int
    mtls_port: int
    ca_http_port: int | None
    tls_cert: Path | None
    tls_key: Path | None
    trusted_proxies: tuple[Network, ...]
    cors_origins: tuple[str, ...]
    allowed_ips: tuple[Network, ...]
    public_url: str | None
    workers: int

    rate_limits: Mapping[str, RateLimit]
    max_body_bytes: int
    max_concurrency: int
    request_seconds: int
    shutdown_seconds: int

    enable_jwt: bool
    jwt_secret: Secret | None
    jwt_algorithm: TokenAlgorithm
    jwt_expiration_hours: int
    access_token_minutes: int
    refresh_days: int
    bcrypt_cost: int

    enable_mtls: bool
    cert_validity_days: int
    renewal_grace_hours: int
    ca_cert_path: Path
    ca_key_path: Path | TokenUri
    ca_keys: TokenUri | None
    ca_algorithm: CaAlgorithm
    ca_overlap_days: int
    ca_announce_minutes: int
    cert_profiles: tuple[CertProfile, ...]
    trust_domain: str
    acme_url: str | None
    acme_http_port: int
    acme_dns: tuple[str, int] | None

    enable_vault: bool
    vault: VaultAccess
    stale_seconds: int
    max_versions: int
    rotation_hosts: tuple[tuple[str, int], ...]

    audit_sync: AuditSync
    log_level: LogLevel
    log_format: LogFormat

    @property
    def development(self) -> bool:
        """Whether defaults that are fit for one developer's machine only are in force."""
        return self.environment == "development"

    @property
    def loopback(self) -> bool:
        """Whether the service listens where only this machine can call it."""
        return is_this_machine(self.host)

    @property
    def vault_missing(self) -> tuple[str, ...]:
        """The variables that `ENABLE_VAULT` needs and that are not set."""
        return self.vault.unset if self.enable_vault else ()
