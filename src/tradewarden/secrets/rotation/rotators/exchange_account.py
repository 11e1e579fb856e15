"""An account at an exchange, asked through ccxt in a thread of its own whether a key works. ccxt is imported there.

Always true here: ccxt logs nothing while a key is in it (it would log headers, bodies and addresses), and no text of
its errors leaves.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from tradewarden.errors import ExtraMissingError, RotationFailedError
from tradewarden.secrets.rotation.rotators.exchange_refusal import Refusal, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tradewarden.secrets.credentials.exchange import ExchangeCredentials
    from tradewarden.secrets.rotation.rotators.outbound import Outbound

SECONDS: Final = 15.0
"""Longest that one try takes, all its requests together; less than a step may."""
_LOGGERS: Final = ("urllib3.connectionpool", "urllib3.util.retry", "ccxt.base.exchange")
_at_work: set[int] = set()


class Door(msgspec.Struct, frozen=True):
    """Where an exchange is: in its sandbox, at another address (`url`) or under another name (`hostname`)."""

    exchange: str
    sandbox: bool = False
    url: str = ""
    hostname: str = ""


class Account:
    """A key at an exchange."""

    def __init__(self, door: Door, outbound: Outbound) -> None:
        self._door = door
        self._outbound = outbound

    async def refusal(self, key: ExchangeCredentials, *, withdrawals: bool) -> Refusal | None:
        """Fetch the balance with a key; return why that does not work, None when it does.

        With `withdrawals` a key that may withdraw, where the exchange tells, raises `RotationFailedError`.
        """
        return await asyncio.to_thread(self._tried, key, withdrawals=withdrawals)

    def _tried(self, key: ExchangeCredentials, *, withdrawals: bool) -> Refusal | None:
        ccxt = _ccxt()
        from tradewarden.secrets.rotation.rotators.exchange_session import guarded_session

        if self._door.exchange not in ccxt.exchanges:
            raise RotationFailedError(f"ccxt knows no exchange '{self._door.exchange}'; see its list of ids")
        session = guarded_session(self._outbound, time.monotonic() + SECONDS)
        _hush()
        _at_work.add(threading.get_ident())
        try:
            client = self._client(ccxt, key, session)
            client.fetch_balance()
            may_withdraw = withdrawals and _may_withdraw(client, self._door)
        except Exception as error:  # noqa: BLE001  (whatever ccxt raises; `refusal` tells it apart)
            return refusal(ccxt, error)
        finally:
            _at_work.discard(threading.get_ident())
            session.close()
        if may_withdraw:
            raise RotationFailedError(
                f"{self._door.exchange}: the new key may withdraw; take that permission away at the exchange, then "
                "resume, or let the policy say withdrawals=allow"
            )
        return None

    def _client(self, ccxt: Any, key: ExchangeCredentials, session: object) -> Any:  # noqa: ANN401  (no types)
        door = self._door
        settings = {"enableRateLimit": False, "timeout": int(SECONDS * 1000), "session": session}
        client = getattr(ccxt, door.exchange)({**key.ccxt(), **settings})
        # Markets are megabytes that nobody needs for a balance, and often come from hosts of their own.
        client.load_markets = client.loadMarkets = lambda *_, **__: {}
        if door.sandbox:
            if not client.urls.get("test"):  # ccxt would go on without any address
                raise ccxt.NotSupported(door.exchange)
            client.set_sandbox_mode(True)
        if door.hostname:
            client.hostname = door.hostname
        if door.url:
            client.urls["api"] = _moved(client, client.urls["api"], door.url)
        return client


def _moved(client: Any, urls: Any, place: str) -> Any:  # noqa: ANN401  (as above)
    """Return ccxt's addresses with another scheme, host and port."""
    if isinstance(urls, dict):
        return {name: _moved(client, inner, place) for name, inner in urls.items()}
    parts, there = urlsplit(client.implode_hostname(urls)), urlsplit(place)
    return urlunsplit((there.scheme, there.netloc, parts.path, parts.query, ""))


def _may_withdraw(client: Any, door: Door) -> bool:  # noqa: ANN401  (as above)
    """Ask the exchanges that tell what a key may do; False for the others, and for sandboxes without that call."""
    if door.exchange == "binance" and not door.sandbox:
        return _true(client.sapiGetAccountApiRestrictions().get("enableWithdrawals"))
    if door.exchange == "bybit":
        allowed: Mapping[str, Any] = client.privateGetV5UserQueryApi()["result"].get("permissions") or {}
        return any("withdraw" in str(each).lower() for each in allowed.get("Wallet") or ())
    if door.exchange == "coinbase":
        return _true(client.v3PrivateGetBrokerageKeyPermissions().get("can_transfer"))
    return False


def _true(told: object) -> bool:
    return str(told).lower() == "true"


def _ccxt() -> Any:  # noqa: ANN401  (as above)
    try:
        return import_module("ccxt")
    except ImportError as error:
        raise ExtraMissingError("Rotator 'exchange' needs ccxt", "exchange") from error


class _Hush(logging.Filter):
    """Drops what a thread that has a key in its hands would log: addresses with signatures."""

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return threading.get_ident() not in _at_work


_HUSH: Final = _Hush()


def _hush() -> None:
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_HUSH)  # adding it again does nothing
