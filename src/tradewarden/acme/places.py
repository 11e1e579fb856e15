"""Where everything is: the paths of RFC 8555's resources below one base address, and back."""

from __future__ import annotations

from typing import ClassVar

from tradewarden.errors import FeatureDisabledError


class Places:
    """The addresses of one installation; `base` is how clients reach it: `https://ca.internal:8002`."""

    DIRECTORY: ClassVar[str] = "/acme/directory"
    NEW_NONCE: ClassVar[str] = "/acme/new-nonce"
    NEW_ACCOUNT: ClassVar[str] = "/acme/new-account"
    NEW_ORDER: ClassVar[str] = "/acme/new-order"
    REVOKE: ClassVar[str] = "/acme/revoke-cert"
    KEY_CHANGE: ClassVar[str] = "/acme/key-change"
    RENEWAL_INFO: ClassVar[str] = "/acme/renewal-info"

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")

    def at(self, path: str) -> str:
        """Return the whole address of a path; raises `FeatureDisabledError` when nobody said where we are."""
        if not self._base:
            raise FeatureDisabledError(
                "ACME needs TRADEWARDEN_ACME_URL: the settings name no one place to be reached at"
            )
        return self._base + path

    def account(self, account_id: str) -> str:
        """Return an account's address, which is its `kid`."""
        return self.at(f"/acme/account/{account_id}")

    def account_of(self, kid: str) -> str:
        """Return the id of the account whose address this is; empty when it is none."""
        prefix = self.account("")
        return kid[len(prefix) :] if kid.startswith(prefix) else ""

    def orders(self, account_id: str, after: str = "") -> str:
        """Return where an account's orders are listed, or go on."""
        return self.at(f"/acme/orders/{account_id}.{after}" if after else f"/acme/orders/{account_id}")

    def order(self, order_id: str) -> str:
        """Return an order's address."""
        return self.at(f"/acme/order/{order_id}")

    def finalize(self, order_id: str) -> str:
        """Return where an order is finalized."""
        return self.at(f"/acme/finalize/{order_id}")

    def authorization(self, order_id: str, number: int) -> str:
        """Return the address of one authorization of an order."""
        return self.at(f"/acme/authorization/{order_id}.{number}")

    def challenge(self, order_id: str, number: int, kind: str) -> str:
        """Return the address of one challenge."""
        return self.at(f"/acme/challenge/{order_id}.{number}.{kind}")

    def certificate(self, serial: str) -> str:
        """Return where a certificate is downloaded."""
        return self.at(f"/acme/certificate/{serial}")
