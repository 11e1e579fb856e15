"""The one table of variables: name, type, default, effect, and whether the value is a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

from tradewarden.settings import kinds
from tradewarden.settings.kinds import Kind, Network, RateLimit, one_of, some_of, whole
from tradewarden.settings.pkcs11 import TokenUri
from tradewarden.settings.secret import Secret

T_co = TypeVar("T_co", covariant=True)

Environment = Literal["development", "staging", "production"]
TokenAlgorithm = Literal["HS256", "ES256", "EdDSA"]
CaAlgorithm = Literal["P-256", "P-384", "Ed25519", "RSA-3072"]
CertProfile = Literal["service", "client", "server", "short-lived"]
AuditSync = Literal["normal", "full"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "console"]

ENVIRONMENTS: tuple[Environment, ...] = ("development", "staging", "production")
TOKEN_ALGORITHMS: tuple[TokenAlgorithm, ...] = ("HS256", "ES256", "EdDSA")
CA_ALGORITHMS: tuple[CaAlgorithm, ...] = ("P-256", "P-384", "Ed25519", "RSA-3072")
CERT_PROFILES: tuple[CertProfile, ...] = ("service", "client", "server", "short-lived")
AUDIT_SYNCS: tuple[AuditSync, ...] = ("normal", "full")
LOG_LEVELS: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")
LOG_FORMATS: tuple[LogFormat, ...] = ("json", "console")


@dataclass(frozen=True)
class Variable(Generic[T_co]):
    """One environment variable.

    `shown` is the default in words, where it is not simply the value. `placeholder` stands in
    `.env.example` and is refused outside development. A `secret` value is never repeated.
    """

    name: str
    kind: Kind[T_co]
    default: T_co
    effect: str
    shown: str = ""
    placeholder: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Variables that are read about together."""

    title: str
    variables: tuple[Variable[object], ...]


ENVIRONMENT = Variable[Environment](
    "ALPHAPULSE_ENV",
    one_of(ENVIRONMENTS),
    "development",
    "Staging and production refuse development defaults. `.env` cannot choose them.",
)
DATA_DIR = Variable(
    "TRADEWARDEN_DATA_DIR",
    kinds.PATH,
    Path("cache/security"),
    "Where the database, the CA, the audit journals and the admin token lie.",
)
DATABASE_URL = Variable[Path | None](
    "TRADEWARDEN_DATABASE_URL",
    kinds.DATABASE,
    None,
    "The database. SQLite only in this version; one host, however many workers.",
    shown="`secrets/tradewarden.db` in the data directory",
    secret=True,
)
ROOT_KEY = Variable[Secret | None](
    "TRADEWARDEN_ROOT_KEY",
    kinds.ROOT_KEY,
    None,
    "Source of the root key, which wraps all others. Losing it loses the data. Outside development "
    "`file:` is refused, and `.env` cannot set it.",
    shown="`file:root.key` in the data directory, development only",
    secret=True,
)
PASSPHRASE = Variable[Secret | None](
    "TRADEWARDEN_PASSPHRASE",
    kinds.SECRET,
    None,
    "What a root key of `passphrase:` is stretched from. Outside development `.env` cannot set it.",
    placeholder="change-me",
    secret=True,
)
PKCS11_MODULE = Variable[Path | None](
    "TRADEWARDEN_PKCS11_MODULE",
    kinds.PATH,
    None,
    "The PKCS#11 module (a shared library) that `pkcs11:` URIs go to. Outside development `.env` cannot set it.",
)
PKCS11_PIN = Variable[Secret | None](
    "TRADEWARDEN_PKCS11_PIN",
    kinds.SECRET,
    None,
    "The user PIN of the tokens that `pkcs11:` URIs name, unless a URI says `pin-source`. Outside development `.env` "
    "cannot set it.",
    placeholder="change-me",
    secret=True,
)
ENCRYPTION_KEY = Variable[Secret | None](
    "ALPHAPULSE_ENCRYPTION_KEY",
    kinds.FERNET_KEY,
    None,
    "AlphaPulse's key: opens its older files, and derives field keys where there is no store.",
    placeholder="Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWUtY2g=",
    secret=True,
)

SERVICE_HOST = Variable(
    "SERVICE_HOST",
    kinds.HOST,
    "127.0.0.1",
    "Address to listen on. Any other than loopback ends the credential-free bootstrap.",
)
SERVICE_PORT = Variable("SERVICE_PORT", kinds.PORT, 8002, "Port of the HTTP API; 0 takes any free one.")
MTLS_PORT = Variable("TRADEWARDEN_MTLS_PORT", kinds.PORT, 8443, "Port of the mTLS listener; 0 takes any free one.")
TLS_CERT = Variable[Path | None](
    "TRADEWARDEN_TLS_CERT",
    kinds.PATH,
    None,
    "Server certificate chain (PEM) for the HTTP API. Goes with `TRADEWARDEN_TLS_KEY`.",
    shown="one of our CA outside development",
)
TLS_KEY = Variable[Path | None]("TRADEWARDEN_TLS_KEY", kinds.PATH, None, "Private key (PEM) of `TRADEWARDEN_TLS_CERT`.")
TRUSTED_PROXIES = Variable[tuple[Network, ...]](
    "TRADEWARDEN_TRUSTED_PROXIES",
    kinds.NETWORKS,
    (),
    "Proxies whose forwarded headers count.",
)
CORS_ORIGINS = Variable[tuple[str, ...]](
    "TRADEWARDEN_CORS_ORIGINS",
    kinds.ORIGINS,
    (),
    "Origins whose pages may call the API. `*` in development only.",
)
ALLOWED_IPS = Variable[tuple[Network, ...]](
    "TRADEWARDEN_ALLOWED_IPS",
    kinds.NETWORKS,
    (),
    "Addresses that may call at all. Set and empty is a mistake, not an open door.",
    shown="any address",
)
PUBLIC_URL = Variable[str | None](
    "TRADEWARDEN_PUBLIC_URL",
    kinds.PUBLIC_URL,
    None,
    "Where others reach this service. Certificates point there for their revocation list, the OCSP responder and their "
    "issuer; plain `http:` is what most verifiers follow.",
    shown="made of scheme, `SERVICE_HOST` and `SERVICE_PORT`; no pointers where these name no one place",
)
WORKERS = Variable("TRADEWARDEN_WORKERS", whole(1, 64), 1, "Worker processes of the service.")

RATE_LIMITS = Variable[Mapping[str, RateLimit]](
    "TRADEWARDEN_RATE_LIMITS",
    kinds.LIMITS,
    kinds.RATE_LIMITS,
    "Calls by class (anonymous, open, read, write, issue, admin), merged over the defaults. "
    "Each process keeps its own count.",
    shown=",".join(f"{n}={r.calls}/{r.seconds}" for n, r in kinds.RATE_LIMITS.items()),
)
MAX_BODY_BYTES = Variable(
    "TRADEWARDEN_MAX_BODY_BYTES",
    whole(1024, 67_108_864),
    1_048_576,
    "Largest request body, bytes.",
)
MAX_CONCURRENCY = Variable(
    "TRADEWARDEN_MAX_CONCURRENCY",
    whole(1, 100_000),
    1024,
    "Requests that one process works on at a time; more are answered with 503.",
)
REQUEST_SECONDS = Variable(
    "TRADEWARDEN_REQUEST_SECONDS", whole(1, 600), 30, "Longest time one request may take, seconds."
)
SHUTDOWN_SECONDS = Variable(
    "TRADEWARDEN_SHUTDOWN_SECONDS",
    whole(1, 600),
    25,
    "Time to answer what was accepted when the service is told to stop, seconds.",
)

ENABLE_JWT = Variable("ENABLE_JWT", kinds.FLAG, default=True, effect="Token routes; false: they answer 503.")
JWT_SECRET_KEY = Variable[Secret | None](
    "JWT_SECRET_KEY",
    kinds.STRONG_SECRET,
    None,
    "Signs HS256 tokens. A changed one becomes a new key version; older tokens verify until they expire.",
    shown="generated and kept",
    placeholder="change-me-to-at-least-32-random-bytes",
    secret=True,
)
ALPHAPULSE_JWT_SECRET = Variable[Secret | None](
    "ALPHAPULSE_JWT_SECRET",
    kinds.STRONG_SECRET,
    None,
    "AlphaPulse's name for `JWT_SECRET_KEY`. Both set and different is a mistake.",
    placeholder="change-me-to-at-least-32-random-bytes",
    secret=True,
)
JWT_ALGORITHM = Variable[TokenAlgorithm](
    "JWT_ALGORITHM",
    one_of(TOKEN_ALGORITHMS),
    "HS256",
    "Signature of new tokens. ES256 and EdDSA let others verify with `/.well-known/jwks.json`.",
)
JWT_EXPIRATION_HOURS = Variable("JWT_EXPIRATION_HOURS", whole(1, 8760), 24, "Longest life of a service token, hours.")
ACCESS_TOKEN_MINUTES = Variable(
    "TRADEWARDEN_ACCESS_TOKEN_MINUTES",
    whole(1, 1440),
    30,
    "Life of a user's access token, minutes.",
)
REFRESH_DAYS = Variable(
    "TRADEWARDEN_REFRESH_DAYS",
    whole(1, 365),
    30,
    "Life of a family of refresh tokens, however often it is rotated, days.",
)
BCRYPT_COST = Variable(
    "TRADEWARDEN_BCRYPT_COST",
    whole(4, 16),
    12,
    "Cost of a password hash (2 to this power rounds); at least 10 outside development.",
)

ENABLE_MTLS = Variable(
    "ENABLE_MTLS", kinds.FLAG, default=True, effect="mTLS listener and certificate routes; false: neither."
)
CERT_VALIDITY_DAYS = Variable("CERT_VALIDITY_DAYS", whole(1, 3650), 365, "Longest life of a service certificate, days.")
CA_CERT_PATH = Variable[Path | None](
    "CA_CERT_PATH",
    kinds.PATH,
    None,
    "The root CA's certificate (PEM), made there on the first start or brought along.",
    shown="`ca/ca_cert.pem` in the data directory",
)
CA_KEY_PATH = Variable[Path | TokenUri | None](
    "CA_KEY_PATH",
    kinds.KEY_PLACE,
    None,
    "The root CA's private key (PEM, or `pkcs11:token=…;object=…`). It may be taken offline.",
    shown="`ca/ca_key.pem` in the data directory",
)
CA_KEYS = Variable[TokenUri | None](
    "TRADEWARDEN_CA_KEYS",
    kinds.WHOLE_TOKEN,
    None,
    "The token that the keys of our CAs are made in and never leave (`pkcs11:token=…`). Outside development `.env` "
    "cannot set it.",
    shown="files in the data directory",
)
RENEWAL_GRACE_HOURS = Variable(
    "TRADEWARDEN_RENEWAL_GRACE_HOURS",
    whole(0, 8760),
    0,
    "How long after its end a service certificate can still be renewed by whoever holds its key, hours.",
)
CA_ALGORITHM = Variable[CaAlgorithm](
    "TRADEWARDEN_CA_ALGORITHM",
    one_of(CA_ALGORITHMS),
    "P-256",
    "Key type of a CA that is made here.",
)
CA_OVERLAP_DAYS = Variable(
    "TRADEWARDEN_CA_OVERLAP_DAYS",
    whole(0, 3650),
    0,
    "How long both roots are trusted when the root CA is rotated, days; 0: as long as certificates live.",
)
PROFILES = Variable[tuple[CertProfile, ...]](
    "TRADEWARDEN_CERT_PROFILES",
    some_of(CERT_PROFILES),
    CERT_PROFILES,
    "Kinds of certificates that are issued here.",
    shown=",".join(CERT_PROFILES),
)
TRUST_DOMAIN = Variable(
    "TRADEWARDEN_TRUST_DOMAIN",
    kinds.TRUST_DOMAIN,
    "tradewarden.internal",
    "Names services in certificates: `spiffe://<trust domain>/<service>`.",
)

ACME_URL = Variable[str | None](
    "TRADEWARDEN_ACME_URL",
    kinds.PUBLIC_URL,
    None,
    "Where ACME clients reach this service; what they sign names it.",
    shown="`TRADEWARDEN_PUBLIC_URL`",
)
ACME_HTTP_PORT = Variable(
    "TRADEWARDEN_ACME_HTTP_PORT",
    whole(1, 65535),
    80,
    "Port at which ACME's http-01 challenges are looked at on the hosts that ask for certificates.",
)
ACME_DNS = Variable[tuple[str, int] | None](
    "TRADEWARDEN_ACME_DNS",
    kinds.DNS_SERVER,
    None,
    "DNS server that ACME validation asks, for addresses (http-01) and TXT records (dns-01).",
    shown="the machine's own",
)

ENABLE_VAULT = Variable(
    "ENABLE_VAULT",
    kinds.FLAG,
    default=False,
    effect="Secrets come from HashiCorp Vault. Without address or token development uses the local "
    "store and warns; elsewhere the service is live but not ready.",
)
VAULT_URL = Variable[str | None](
    "VAULT_URL",
    kinds.WEB_ADDRESS,
    None,
    "Vault's address. Outside development `.env` cannot set it.",
)
VAULT_TOKEN = Variable[Secret | None](
    "VAULT_TOKEN", kinds.SECRET, None, "Vault's token.", placeholder="change-me", secret=True
)
MAX_VERSIONS = Variable("TRADEWARDEN_MAX_VERSIONS", whole(1, 1000), 10, "Versions that are kept of one secret.")

AUDIT_SYNC = Variable[AuditSync](
    "TRADEWARDEN_AUDIT_SYNC",
    one_of(AUDIT_SYNCS),
    "normal",
    "`full` makes reads and denials survive a power loss too, before the answer leaves.",
)
LOG_LEVEL = Variable[LogLevel]("TRADEWARDEN_LOG_LEVEL", one_of(LOG_LEVELS), "info", "What the log shows at least.")
LOG_FORMAT = Variable[LogFormat | None](
    "TRADEWARDEN_LOG_FORMAT",
    one_of(LOG_FORMATS),
    None,
    "Lines for programs or for people.",
    shown="`console` in development, else `json`",
)

SECTIONS = (
    Section(
        "Environment and data",
        (
            ENVIRONMENT,
            DATA_DIR,
            DATABASE_URL,
            ROOT_KEY,
            PASSPHRASE,
            PKCS11_MODULE,
            PKCS11_PIN,
            ENCRYPTION_KEY,
        ),
    ),
    Section(
        "Where it listens, and for whom",
        (
            SERVICE_HOST,
            SERVICE_PORT,
            MTLS_PORT,
            TLS_CERT,
            TLS_KEY,
            TRUSTED_PROXIES,
            CORS_ORIGINS,
            ALLOWED_IPS,
            PUBLIC_URL,
            WORKERS,
        ),
    ),
    Section(
        "Limits",
        (RATE_LIMITS, MAX_BODY_BYTES, MAX_CONCURRENCY, REQUEST_SECONDS, SHUTDOWN_SECONDS),
    ),
    Section(
        "Tokens and passwords",
        (
            ENABLE_JWT,
            JWT_SECRET_KEY,
            ALPHAPULSE_JWT_SECRET,
            JWT_ALGORITHM,
            JWT_EXPIRATION_HOURS,
            ACCESS_TOKEN_MINUTES,
            REFRESH_DAYS,
            BCRYPT_COST,
        ),
    ),
    Section(
        "Certificates",
        (
            ENABLE_MTLS,
            CERT_VALIDITY_DAYS,
            RENEWAL_GRACE_HOURS,
            CA_CERT_PATH,
            CA_KEY_PATH,
            CA_KEYS,
            CA_ALGORITHM,
            CA_OVERLAP_DAYS,
            PROFILES,
            TRUST_DOMAIN,
            ACME_URL,
            ACME_HTTP_PORT,
            ACME_DNS,
        ),
    ),
    Section("Secrets", (ENABLE_VAULT, VAULT_URL, VAULT_TOKEN, MAX_VERSIONS)),
    Section("Audit and logs", (AUDIT_SYNC, LOG_LEVEL, LOG_FORMAT)),
)
VARIABLES: tuple[Variable[object], ...] = tuple(variable for section in SECTIONS for variable in section.variables)
