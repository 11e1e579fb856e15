"""From texts to `Settings`: read every row of the table, then hold the rules against the whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tradewarden.errors import ConfigurationError
from tradewarden.settings import rules, table
from tradewarden.settings.model import Settings
from tradewarden.settings.secret import Secret
from tradewarden.settings.sources import Reader, read_dotenv
from tradewarden.settings.vault import read_vault


def load_settings(environ: Mapping[str, str], dotenv: Path | None = None) -> Settings:
    """Returns the settings that `environ`, and below it the file `dotenv`, describe.

    Reads `dotenv` (if it exists) and the files that `NAME_FILE` variables name, nothing else.

    Raises:
        ConfigurationError: lists every mistake; each names the variable, what is wrong and what
            to do, and shows no secret.
    """
    mistakes: list[str] = []
    file_values = read_dotenv(dotenv, mistakes)
    reader = Reader(environ, file_values, mistakes)
    settings = _build(reader)
    mistakes += rules.together(settings, reader.given)
    mistakes += rules.outside_development(settings, reader.given)
    mistakes += rules.from_dotenv(settings, file_values)
    mistakes += rules.unknown({*environ, *file_values}, reader.given.get(table.ROOT_KEY.name, ""))
    if environ.get(table.ALLOWED_IPS.name, file_values.get(table.ALLOWED_IPS.name)) == "":
        mistakes.append(f"{table.ALLOWED_IPS.name}: set and empty; list networks, or unset it")
    if mistakes:
        raise ConfigurationError(mistakes)
    return settings


def _jwt_secret(reader: Reader) -> Secret | None:
    ours, theirs = reader.read(table.JWT_SECRET_KEY), reader.read(table.ALPHAPULSE_JWT_SECRET)
    if ours is not None and theirs is not None and ours != theirs:
        reader.mistakes.append(
            "JWT_SECRET_KEY: differs from ALPHAPULSE_JWT_SECRET, and both mean the same key; keep one of the two"
        )
    return theirs if ours is None else ours


def _build(reader: Reader) -> Settings:
    read = reader.read
    environment = read(table.ENVIRONMENT)
    data_dir = read(table.DATA_DIR)
    log_format = read(table.LOG_FORMAT)
    if log_format is None:
        log_format = "console" if environment == "development" else "json"
    return Settings(
        environment=environment,
        data_dir=data_dir,
        database_path=read(table.DATABASE_URL) or data_dir / "secrets" / "tradewarden.db",
        root_key=read(table.ROOT_KEY) or Secret(f"file:{data_dir / 'root.key'}"),
        passphrase=read(table.PASSPHRASE),
        pkcs11_module=read(table.PKCS11_MODULE),
        pkcs11_pin=read(table.PKCS11_PIN),
        encryption_key=read(table.ENCRYPTION_KEY),
        host=read(table.SERVICE_HOST),
        port=read(table.SERVICE_PORT),
        mtls_port=read(table.MTLS_PORT),
        ca_http_port=read(table.CA_HTTP_PORT),
        tls_cert=read(table.TLS_CERT),
        tls_key=read(table.TLS_KEY),
        trusted_proxies=read(table.TRUSTED_PROXIES),
        cors_origins=read(table.CORS_ORIGINS),
        allowed_ips=read(table.ALLOWED_IPS),
        public_url=read(table.PUBLIC_URL),
        workers=read(table.WORKERS),
        rate_limits=read(table.RATE_LIMITS),
        max_body_bytes=read(table.MAX_BODY_BYTES),
        max_concurrency=read(table.MAX_CONCURRENCY),
        request_seconds=read(table.REQUEST_SECONDS),
        shutdown_seconds=read(table.SHUTDOWN_SECONDS),
        enable_jwt=read(table.ENABLE_JWT),
        jwt_secret=_jwt_secret(reader),
        jwt_algorithm=read(table.JWT_ALGORITHM),
        jwt_expiration_hours=read(table.JWT_EXPIRATION_HOURS),
        access_token_minutes=read(table.ACCESS_TOKEN_MINUTES),
        refresh_days=read(table.REFRESH_DAYS),
        bcrypt_cost=read(table.BCRYPT_COST),
        enable_mtls=read(table.ENABLE_MTLS),
        cert_validity_days=read(table.CERT_VALIDITY_DAYS),
        renewal_grace_hours=read(table.RENEWAL_GRACE_HOURS),
        ca_cert_path=read(table.CA_CERT_PATH) or data_dir / "ca" / "ca_cert.pem",
        ca_key_path=read(table.CA_KEY_PATH) or data_dir / "ca" / "ca_key.pem",
        ca_keys=read(table.CA_KEYS),
        ca_algorithm=read(table.CA_ALGORITHM),
        ca_overlap_days=read(table.CA_OVERLAP_DAYS),
        ca_announce_minutes=read(table.CA_ANNOUNCE_MINUTES),
        cert_profiles=read(table.PROFILES),
        trust_domain=read(table.TRUST_DOMAIN),
        acme_url=read(table.ACME_URL),
        acme_http_port=read(table.ACME_HTTP_PORT),
        acme_dns=read(table.ACME_DNS),
        enable_vault=read(table.ENABLE_VAULT),
        vault=read_vault(reader),
        stale_seconds=read(table.STALE_SECONDS),
        max_versions=read(table.MAX_VERSIONS),
        rotation_hosts=read(table.ROTATION_HOSTS),
        audit_sync=read(table.AUDIT_SYNC),
        log_level=read(table.LOG_LEVEL),
        log_format=log_format,
    )
