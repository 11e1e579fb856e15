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
VaultLogin = Literal["token", "approle", "kubernetes", "cert"]
SecretProvider = Literal["environment", "files", "vault", "aws", "tradewarden"]

ENVIRONMENTS: tuple[Environment, ...] = ("development", "staging", "production")
TOKEN_ALGORITHMS: tuple[TokenAlgorithm, ...] = ("HS256", "ES256", "EdDSA")
CA_ALGORITHMS: tuple[CaAlgorithm, ...] = ("P-256", "P-384", "Ed25519", "RSA-3072")
CERT_PROFILES: tuple[CertProfile, ...] = ("service", "client", "server", "short-lived")
AUDIT_SYNCS: tuple[AuditSync, ...] = ("normal", "full")
LOG_LEVELS: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")
LOG_FORMATS: tuple[LogFormat, ...] = ("json", "console")
VAULT_LOGINS: tuple[VaultLogin, ...] = ("token", "approle", "kubernetes", "cert")
SECRET_PROVIDERS: tuple[SecretProvider, ...] = ("environment", "files", "vault", "aws", "tradewarden")


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
CA_HTTP_PORT = Variable[int | None](
    "TRADEWARDEN_CA_HTTP_PORT",
    kinds.PORT,
    None,
    "Port that serves in plain HTTP, beside TLS, what verifiers of certificates fetch, and nothing else: lists, OCSP, "
    "issuers. Certificates point there; most verifiers follow no `https:`. 0 takes any free one.",
    shown="off",
)
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
CA_ANNOUNCE_MINUTES = Variable(
    "TRADEWARDEN_CA_ANNOUNCE_MINUTES",
    whole(0, 7 * 24 * 60),
    10,
    "How long a new root is trusted and its revocation list given out before anything is issued below it, minutes.",
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
    "store and warns; elsewhere the service is live but not ready, and `.env` cannot set it.",
)
VAULT_URL = Variable[str | None](
    "VAULT_URL",
    kinds.WEB_ADDRESS,
    None,
    "Vault's address; plain `http:` to other machines in development only. Outside development `.env` cannot set it, "
    "nor any other `VAULT_` variable but the credentials themselves.",
)
VAULT_TOKEN = Variable[Secret | None](
    "VAULT_TOKEN",
    kinds.SECRET,
    None,
    "Vault's token, for the login `token`. It is renewed while it can be.",
    placeholder="change-me",
    secret=True,
)
VAULT_AUTH_METHOD = Variable[VaultLogin]("VAULT_AUTH_METHOD", one_of(VAULT_LOGINS), "token", "How we log in to Vault.")
VAULT_AUTH_MOUNT = Variable[str | None](
    "VAULT_AUTH_MOUNT", kinds.TEXT, None, "Where Vault has that auth method.", shown="the method's name"
)
VAULT_ROLE_ID = Variable[Secret | None](
    "VAULT_ROLE_ID", kinds.SECRET, None, "Role ID, for the login `approle`.", placeholder="change-me", secret=True
)
VAULT_SECRET_ID = Variable[Secret | None](
    "VAULT_SECRET_ID",
    kinds.SECRET,
    None,
    "Secret ID, for the login `approle`; unset where the role asks for none.",
    placeholder="change-me",
    secret=True,
)
VAULT_SECRET_ID_WRAPPED = Variable(
    "VAULT_SECRET_ID_WRAPPED",
    kinds.FLAG,
    default=False,
    effect="`VAULT_SECRET_ID` is a response-wrapping token, which gives the real one once: for one process.",
)
VAULT_ROLE = Variable[str | None](
    "VAULT_ROLE", kinds.TEXT, None, "Role, for the logins `kubernetes` and (optional there) `cert`."
)
VAULT_JWT_PATH = Variable(
    "VAULT_JWT_PATH",
    kinds.PATH,
    Path("/var/run/secrets/kubernetes.io/serviceaccount/token"),
    "The pod's service account token, for the login `kubernetes`; read anew at each login.",
)
VAULT_CLIENT_CERT = Variable[Path | None](
    "VAULT_CLIENT_CERT", kinds.PATH, None, "Client certificate chain (PEM) for Vault. Goes with `VAULT_CLIENT_KEY`."
)
VAULT_CLIENT_KEY = Variable[Path | None](
    "VAULT_CLIENT_KEY", kinds.PATH, None, "Private key (PEM, no password) of `VAULT_CLIENT_CERT`."
)
VAULT_CACERT = Variable[Path | None](
    "VAULT_CACERT",
    kinds.PATH,
    None,
    "Roots (PEM) that Vault's certificate is verified with, in place of the system's. It is always verified.",
    shown="the system's",
)
VAULT_NAMESPACE = Variable[str | None]("VAULT_NAMESPACE", kinds.TEXT, None, "Namespace of Vault to work in.")
VAULT_MOUNT = Variable("VAULT_MOUNT", kinds.TEXT, "secret", "Where Vault has the KV engine, version 2.")
VAULT_PREFIX = Variable(
    "VAULT_PREFIX",
    kinds.TEXT,
    "alphapulse/",
    "What stands before a secret's name there; ends with a slash. `/`: nothing.",
)
VAULT_CLIENT_TIMEOUT = Variable(
    "VAULT_CLIENT_TIMEOUT",
    whole(1, 60),
    5,
    "Longest wait for Vault's next bytes, seconds; a whole call takes twice that at most.",
)
STALE_SECONDS = Variable(
    "TRADEWARDEN_STALE_SECONDS",
    whole(0, 86_400),
    300,
    "How long after it was last read from Vault a secret's value is still given out, marked as stale, while Vault "
    "cannot be reached; 0: never.",
)
MAX_VERSIONS = Variable("TRADEWARDEN_MAX_VERSIONS", whole(1, 1000), 10, "Versions that are kept of one secret.")
ROTATION_HOSTS = Variable[tuple[tuple[str, int], ...]](
    "TRADEWARDEN_ROTATION_HOSTS",
    kinds.HOST_PORTS,
    (),
    "Where the rotation of secrets may connect to (databases, exchanges), port by port. Nothing else is called. "
    "Outside development `.env` cannot set it.",
    shown="none",
)

PROVIDERS = Variable[tuple[SecretProvider, ...]](
    "TRADEWARDEN_SECRET_PROVIDERS",
    some_of(SECRET_PROVIDERS),
    (),
    "Where secrets are read, in this order; writing goes to the first. Outside development `.env` cannot set it.",
    shown="environment,files in development; vault,environment in staging; aws,environment in production",
)
SECRETS_DIR = Variable(
    "TRADEWARDEN_SECRETS_DIR",
    kinds.PATH,
    Path(".secrets"),
    "Directory of the provider `files`, under `ALPHAPULSE_ENCRYPTION_KEY`; development makes a key of its own.",
)
CACHE_SECONDS = Variable(
    "TRADEWARDEN_SECRET_CACHE_SECONDS",
    whole(1, 86_400),
    300,
    "How long a secret is given without asking its provider again, seconds.",
)
LAST_KNOWN_SECONDS = Variable(
    "TRADEWARDEN_SECRET_STALE_SECONDS",
    whole(0, 604_800),
    3600,
    "How long after it was last read a secret is still given, marked as stale, while its provider does not answer, "
    "seconds; 0: never.",
)
ACCESS_LOG = Variable[Path | None](
    "TRADEWARDEN_SECRETS_AUDIT",
    kinds.PATH,
    None,
    "A file that gets a line for every access to a secret, before its answer is given.",
    shown="unset: the logger `tradewarden.secrets` only",
)
AWS_REGION = Variable[str | None](
    "AWS_REGION",
    kinds.REGION,
    None,
    "Region of AWS Secrets Manager. Credentials are found by boto3 itself, in the process's environment "
    "(`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`), a profile or a role.",
    shown="boto3's own",
)
AWS_ENDPOINT_URL = Variable[str | None](
    "AWS_ENDPOINT_URL",
    kinds.WEB_ADDRESS,
    None,
    "Another address of AWS, such as a VPC endpoint or a test server. Outside development `.env` cannot set it.",
    shown="the region's",
)
AWS_PREFIX = Variable(
    "TRADEWARDEN_AWS_PREFIX", kinds.TEXT, "", "What stands before a secret's name in AWS Secrets Manager.", shown="none"
)
SERVICE_URL = Variable[str | None](
    "TRADEWARDEN_URL",
    kinds.WEB_ADDRESS,
    None,
    "The service that the provider `tradewarden` asks. Outside development `.env` cannot set it.",
)
SERVICE_TOKEN = Variable[Secret | None](
    "TRADEWARDEN_TOKEN",
    kinds.SECRET,
    None,
    "The bearer token for it; with `TRADEWARDEN_TOKEN_FILE` the file is read again at each call.",
    placeholder="change-me",
    secret=True,
)
SERVICE_CA = Variable[Path | None](
    "TRADEWARDEN_CA_FILE",
    kinds.PATH,
    None,
    "The CA (PEM) that signs its TLS certificate. Outside development `.env` cannot set it.",
    shown="the system's",
)

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

OF_LIBRARIES: tuple[Variable[object], ...] = (
    PROVIDERS,
    SECRETS_DIR,
    CACHE_SECONDS,
    LAST_KNOWN_SECONDS,
    ACCESS_LOG,
    AWS_REGION,
    AWS_ENDPOINT_URL,
    AWS_PREFIX,
    SERVICE_URL,
    SERVICE_TOKEN,
    SERVICE_CA,
)
"""What programs read that use a platform's secrets; the service does not."""
CREDENTIALS: tuple[Variable[object], ...] = tuple(
    Variable[Secret | None](f"ALPHAPULSE_{name}", kinds.SECRET, None, effect, secret=True)
    for name, effect in (
        ("DB_HOST", "Database: host."),
        ("DB_PORT", "Database: port, 5432 when unset."),
        ("DB_USER", "Database: user."),
        ("DB_PASSWORD", "Database: password."),
        ("DB_NAME", "Database: name, the user's when unset."),
        ("BINANCE_API_KEY", "Binance: API key."),
        ("BINANCE_API_SECRET", "Binance: its secret."),
        ("BYBIT_API_KEY", "Bybit: API key."),
        ("BYBIT_API_SECRET", "Bybit: its secret."),
        ("COINBASE_API_KEY", "Coinbase: API key."),
        ("COINBASE_API_SECRET", "Coinbase: its secret."),
        ("COINBASE_PASSPHRASE", "Coinbase: its passphrase."),
        ("KRAKEN_API_KEY", "Kraken: API key."),
        ("KRAKEN_API_SECRET", "Kraken: its secret."),
        ("IEX_CLOUD_API_KEY", "IEX Cloud: API key."),
        ("POLYGON_API_KEY", "Polygon.io: API key."),
        ("ALPHA_VANTAGE_API_KEY", "Alpha Vantage: API key."),
        ("FINNHUB_API_KEY", "Finnhub: API key."),
    )
)
"""The secrets that most platforms have; any other name goes as well (`tradewarden.secrets.naming`)."""

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
            CA_HTTP_PORT,
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
            CA_ANNOUNCE_MINUTES,
            PROFILES,
            TRUST_DOMAIN,
            ACME_URL,
            ACME_HTTP_PORT,
            ACME_DNS,
        ),
    ),
    Section(
        "Secrets",
        (
            ENABLE_VAULT,
            VAULT_URL,
            VAULT_TOKEN,
            VAULT_AUTH_METHOD,
            VAULT_AUTH_MOUNT,
            VAULT_ROLE_ID,
            VAULT_SECRET_ID,
            VAULT_SECRET_ID_WRAPPED,
            VAULT_ROLE,
            VAULT_JWT_PATH,
            VAULT_CLIENT_CERT,
            VAULT_CLIENT_KEY,
            VAULT_CACERT,
            VAULT_NAMESPACE,
            VAULT_MOUNT,
            VAULT_PREFIX,
            VAULT_CLIENT_TIMEOUT,
            STALE_SECONDS,
            MAX_VERSIONS,
            ROTATION_HOSTS,
        ),
    ),
    Section("Secrets in your own programs", OF_LIBRARIES),
    Section("Secrets in variables, for the provider `environment`", CREDENTIALS),
    Section("Audit and logs", (AUDIT_SYNC, LOG_LEVEL, LOG_FORMAT)),
)
VARIABLES: tuple[Variable[object], ...] = tuple(variable for section in SECTIONS for variable in section.variables)
