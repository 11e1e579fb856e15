"""Where Vault is and how we log in there: the same for the service and for programs that read secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tradewarden.settings import table
from tradewarden.settings.secret import Secret
from tradewarden.settings.sources import Reader
from tradewarden.settings.table import VaultLogin


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAccess:
    """Where Vault is, and how we log in there; each field is one row of `table`."""

    url: str | None
    token: Secret | None
    auth_method: VaultLogin
    auth_mount: str | None
    role_id: Secret | None
    secret_id: Secret | None
    secret_id_wrapped: bool
    role: str | None
    jwt_path: Path
    client_cert: Path | None
    client_key: Path | None
    cacert: Path | None
    namespace: str | None
    mount: str
    prefix: str
    client_timeout: int

    @property
    def unset(self) -> tuple[str, ...]:
        """The variables that a log-in to Vault needs and that are not set."""
        needed: dict[str, object] = {"VAULT_URL": self.url}
        match self.auth_method:
            case "token":
                needed["VAULT_TOKEN"] = self.token
            case "approle":
                needed["VAULT_ROLE_ID"] = self.role_id
            case "kubernetes":
                needed["VAULT_ROLE"] = self.role
            case "cert":
                needed |= {"VAULT_CLIENT_CERT": self.client_cert, "VAULT_CLIENT_KEY": self.client_key}
        return tuple(name for name, value in needed.items() if value is None)


def read_vault(reader: Reader) -> VaultAccess:
    """Returns what the variables say."""
    read = reader.read
    return VaultAccess(
        url=read(table.VAULT_URL),
        token=read(table.VAULT_TOKEN),
        auth_method=read(table.VAULT_AUTH_METHOD),
        auth_mount=read(table.VAULT_AUTH_MOUNT),
        role_id=read(table.VAULT_ROLE_ID),
        secret_id=read(table.VAULT_SECRET_ID),
        secret_id_wrapped=read(table.VAULT_SECRET_ID_WRAPPED),
        role=read(table.VAULT_ROLE),
        jwt_path=read(table.VAULT_JWT_PATH),
        client_cert=read(table.VAULT_CLIENT_CERT),
        client_key=read(table.VAULT_CLIENT_KEY),
        cacert=read(table.VAULT_CACERT),
        namespace=read(table.VAULT_NAMESPACE),
        mount=read(table.VAULT_MOUNT),
        prefix=read(table.VAULT_PREFIX),
        client_timeout=read(table.VAULT_CLIENT_TIMEOUT),
    )
