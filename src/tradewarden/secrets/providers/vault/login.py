"""The four ways to a token: it was given, or AppRole, Kubernetes or a client certificate vouch for us."""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING, Final

from hvac.api.auth_methods import AppRole, Kubernetes, Token  # type: ignore[import-untyped]
from hvac.api.system_backend.wrapping import Wrapping  # type: ignore[import-untyped]

from tradewarden.errors import ConfigurationError, ProviderRefusedError, ProviderUnavailableError
from tradewarden.secrets.providers.vault.answers import (
    Answer,
    AuthBody,
    LookupBody,
    SecretIdBody,
    WrappedBody,
    read_as,
)
from tradewarden.secrets.providers.vault.config import AppRoleLogin, CertificateLogin, KubernetesLogin, TokenLogin
from tradewarden.secrets.providers.vault.faults import login_fault, unavailable
from tradewarden.secrets.providers.vault.lease import Lease
from tradewarden.secrets.providers.vault.transport import Line, Transport

if TYPE_CHECKING:
    from tradewarden.secrets.providers.vault.config import VaultConfig

_MAX_JWT: Final = 64 * 1024
_PARTING_SECONDS: Final = 1.0


class Logins:
    """Logs in as the config says. Not for two threads at once.

    `unwrapped` is the secret ID that the process we were forked from has unwrapped already.
    """

    def __init__(self, config: VaultConfig, line: Line, unwrapped: str | None = None) -> None:
        self._config = config
        self._line = line
        self.unwrapped = unwrapped

    @property
    def again(self) -> bool:
        """Whether we can get another token by ourselves."""
        return not isinstance(self._config.login, TokenLogin)

    def begin(self) -> Lease:
        """Return a token and how long it lasts.

        Raises `ProviderRefusedError` when Vault does not accept us, `ProviderUnavailableError` when it does not
        answer, or a file cannot be read that the login needs.
        """
        login = self._config.login
        match login:
            case TokenLogin():
                return self._given(login.token.reveal())
            case AppRoleLogin():
                return self._approle(login)
            case KubernetesLogin():
                return self._kubernetes(login)
            case CertificateLogin():
                return self._certificate(login)

    def renew(self, lease: Lease) -> Lease | Answer:
        """Return the token with a new lease, or Vault's answer where there is none."""
        now = monotonic()
        answer: Answer = Token(self._transport(lease.token)).renew_self()
        if not answer.good:
            return answer
        auth = read_as(AuthBody, answer, self._config.place).auth
        return Lease(lease.token, now, auth.lease_duration, auth.renewable, max(lease.whole, auth.lease_duration))

    def knows(self, token: str) -> bool:
        """Tell whether Vault knows a token; raises `ProviderUnavailableError` when it does not say."""
        answer: Answer = Token(self._transport(token)).lookup_self()
        if answer.good or answer.status in {400, 403, 404}:
            return answer.good
        raise unavailable(answer, self._config.place, "look our token up", change=False)

    def revoke(self, token: str) -> None:
        """End a token of ours; it does not matter whether that works, so it is not waited for long."""
        Token(Transport(self._config, self._line, token, seconds=_PARTING_SECONDS)).revoke_self()

    def _transport(self, token: str = "") -> Transport:
        return Transport(self._config, self._line, token)

    def _given(self, token: str) -> Lease:
        now = monotonic()
        answer: Answer = Token(self._transport(token)).lookup_self()
        if not answer.good:  # it may be forbidden to look; the first real call tells what the token is good for
            return Lease(token, now, 0, renewable=False, whole=0)
        found = read_as(LookupBody, answer, self._config.place).data
        return Lease(token, now, found.ttl, found.renewable, max(found.creation_ttl, found.ttl))

    def _approle(self, login: AppRoleLogin) -> Lease:
        now = monotonic()
        secret_id = self._secret_id(login)
        answer: Answer = AppRole(self._transport()).login(
            login.role_id.reveal(), secret_id=secret_id, use_token=False, mount_point=login.mount
        )
        return self._lease(answer, now, "AppRole", "VAULT_ROLE_ID, VAULT_SECRET_ID and VAULT_AUTH_MOUNT")

    def _secret_id(self, login: AppRoleLogin) -> str | None:
        if login.secret_id is None or not login.wrapped:
            return None if login.secret_id is None else login.secret_id.reveal()
        if self.unwrapped is None:
            self.unwrapped = self._unwrap(login.secret_id.reveal(), login.mount)
        return self.unwrapped

    def _unwrap(self, wrapping: str, mount: str) -> str:
        """Return what is wrapped, once it is clear that it is a secret ID of our auth method."""
        place = self._config.place
        looked: Answer = self._transport().post("/v1/sys/wrapping/lookup", json={"token": wrapping})
        if not looked.good:
            raise self._wrapping_fault(looked)
        path = read_as(WrappedBody, looked, place).data.creation_path
        if not re.fullmatch(rf"auth/{re.escape(mount)}/role/[^/]+/secret-id", path):
            raise ProviderRefusedError(
                f"What VAULT_SECRET_ID wraps was not made by the auth method {mount} at {place}: somebody may have put "
                "it there; make a new one and look who could write it"
            )
        answer: Answer = Wrapping(self._transport(wrapping)).unwrap()
        if not answer.good:
            raise self._wrapping_fault(answer)
        return read_as(SecretIdBody, answer, place).data.secret_id

    def _wrapping_fault(self, answer: Answer) -> Exception:
        look = (
            "VAULT_SECRET_ID: a wrapping token is good once and for a short time. If you did not use it, somebody did"
        )
        return login_fault(answer, self._config.place, "AppRole", look)

    def _kubernetes(self, login: KubernetesLogin) -> Lease:
        now = monotonic()
        answer: Answer = Kubernetes(self._transport()).login(
            login.role, _service_account(login), use_token=False, mount_point=login.mount
        )
        look = f"VAULT_ROLE ({login.role}), the pod's service account and the auth method's configuration"
        return self._lease(answer, now, "Kubernetes", look)

    def _certificate(self, login: CertificateLogin) -> Lease:
        self._read_certificate()
        now = monotonic()
        body = {"name": login.role} if login.role else {}
        answer: Answer = self._transport().post(f"/v1/auth/{login.mount}/login", json=body)
        look = "VAULT_CLIENT_CERT, VAULT_ROLE and the CA that the auth method trusts"
        return self._lease(answer, now, "certificate", look)

    def _read_certificate(self) -> None:
        """Take what is in the files now: a short-lived certificate may have been replaced since."""
        mistakes = ""
        try:
            self._line.renew()
        except ConfigurationError as error:
            mistakes = error.detail
        if mistakes:
            raise ProviderUnavailableError(mistakes)

    def _lease(self, answer: Answer, now: float, method: str, look: str) -> Lease:
        if not answer.good:
            raise login_fault(answer, self._config.place, method, look)
        auth = read_as(AuthBody, answer, self._config.place).auth
        return Lease(auth.client_token, now, auth.lease_duration, auth.renewable, auth.lease_duration)


def _service_account(login: KubernetesLogin) -> str:
    why = ""
    try:
        with login.token_file.open("rb") as file:
            token = file.read(_MAX_JWT).decode("ascii").strip()
    except OSError as error:
        why, token = error.strerror or type(error).__name__, ""
    except UnicodeDecodeError:
        why, token = "not a token", ""
    if not token:
        raise ProviderUnavailableError(
            f"VAULT_JWT_PATH: {login.token_file} holds no service account token ({why or 'empty'})"
        )
    return token
