"""A stand-in for exchanges: Binance, Bybit, Coinbase and Kraken behind one local address, which check real signatures.

What each signs and answers is as its public documentation has it. Every refusal also tells back what was sent, as a
careless exchange would, so that tests see whether any of it comes through.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_WINDOW_SECONDS = 10.0


@dataclass
class Key:
    """A key that an exchange gave out."""

    secret: str
    withdraws: bool = False
    reads: bool = True
    from_here: bool = True


@dataclass
class Exchange:
    """The stand-in. `keys` are those that it knows; the rest says how it misbehaves."""

    port: int = 0
    keys: dict[str, Key] = field(default_factory=dict)
    ahead: float = 0.0
    mode: str = ""
    seen: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def fresh(self, stamp_ms: str) -> bool:
        """Tell whether a request was made now, by the clock of the exchange."""
        return stamp_ms.isdigit() and abs(time.time() + self.ahead - int(stamp_ms) / 1000) < _WINDOW_SECONDS


class Refused(Exception):  # noqa: N818  (what an exchange does)
    """An answer that refuses: an HTTP status and JSON."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        super().__init__()
        self.status = status
        self.body = body


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    exchange: Exchange
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        self._answer("")

    def do_POST(self) -> None:
        """Answer."""
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (as above)
        """Stay silent."""

    def _answer(self, body: str) -> None:
        path = urlsplit(self.path).path
        self.exchange.seen.append(path)
        if self.exchange.mode == "slow":
            self.exchange.go_on.wait(10)
        if self.exchange.mode == "reset":
            self.close_connection = True
            return
        if self.exchange.mode == "redirect":
            self._send(302, {}, {"Location": f"http://localhost:{self.exchange.port}{self.path}"})
            return
        if self.exchange.mode in ("503", "429"):
            self._send(int(self.exchange.mode), {"msg": self.path + str(self.headers)})
            return
        if self.exchange.mode == "huge":
            self._send(200, {"balances": "x" * 9_000_000})
            return
        if self.exchange.mode == "odd":
            self._send(200, "<html>Under maintenance</html>")
            return
        try:
            self._send(200, _PATHS[path](self, body))
        except KeyError:
            self._send(404, {"msg": "no such path"})
        except Refused as refused:
            self._send(refused.status, {**refused.body, "sent": self.path + str(self.headers) + body})

    def _send(self, status: int, answer: dict[str, object] | str, headers: dict[str, str] | None = None) -> None:
        content = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            self.close_connection = True

    def header(self, name: str) -> str:
        """Return a header, empty when it is missing."""
        return str(self.headers.get(name) or "")

    def signed(self, given: str, right: str) -> bool:
        """Tell whether a signature is right, and remember it."""
        self.exchange.signatures.append(given)
        return hmac.compare_digest(given, right)


def _hex(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def _binance(request: _Handler) -> Key:
    """Check a signed request (Binance: request security, HMAC)."""
    query = urlsplit(request.path).query
    payload, _, signature = query.rpartition("&signature=")
    key = request.exchange.keys.get(request.header("X-MBX-APIKEY"))
    if key is None or not key.from_here or not key.reads:
        raise Refused(401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."})
    if not request.signed(signature, _hex(key.secret, payload)):
        raise Refused(400, {"code": -1022, "msg": "Signature for this request is not valid."})
    if not request.exchange.fresh(parse_qs(payload)["timestamp"][0]):
        raise Refused(400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."})
    return key


def _binance_account(request: _Handler, _body: str) -> dict[str, object]:
    _binance(request)
    return {"updateTime": 1, "balances": [{"asset": "BTC", "free": "1.5", "locked": "0"}]}


def _binance_restrictions(request: _Handler, _body: str) -> dict[str, object]:
    return {"ipRestrict": True, "enableReading": True, "enableWithdrawals": _binance(request).withdraws}


def _bybit(request: _Handler) -> Key:
    """Check a signed request (Bybit v5: authentication)."""
    name, stamp, window = (request.header(f"X-BAPI-{part}") for part in ("API-KEY", "TIMESTAMP", "RECV-WINDOW"))
    key = request.exchange.keys.get(name)
    if key is None:
        raise Refused(200, {"retCode": 10003, "retMsg": "API key is invalid."})
    if not key.from_here:
        raise Refused(
            200, {"retCode": 10010, "retMsg": "Unmatched IP, please check your API key's bound IP addresses."}
        )
    if not request.signed(
        request.header("X-BAPI-SIGN"), _hex(key.secret, stamp + name + window + urlsplit(request.path).query)
    ):
        raise Refused(
            200, {"retCode": 10004, "retMsg": "Error sign, please check your signature generation algorithm."}
        )
    if not request.exchange.fresh(stamp):
        raise Refused(200, {"retCode": 10002, "retMsg": "invalid request, please check your server timestamp"})
    if not key.reads:
        raise Refused(200, {"retCode": 10005, "retMsg": "Permission denied, please check your API key permissions."})
    return key


def _bybit_key(request: _Handler, _body: str) -> dict[str, object]:
    wallet = ["AccountTransfer", "Withdraw"] if _bybit(request).withdraws else ["AccountTransfer"]
    return {"retCode": 0, "retMsg": "", "result": {"permissions": {"Wallet": wallet}, "unified": 0, "uta": 1}}


def _bybit_info(request: _Handler, _body: str) -> dict[str, object]:
    _bybit(request)
    return {"retCode": 0, "retMsg": "OK", "result": {"unifiedMarginStatus": 6}}


def _bybit_balance(request: _Handler, _body: str) -> dict[str, object]:
    _bybit(request)
    coins = [{"coin": "BTC", "walletBalance": "1.5", "locked": "0"}]
    return {"retCode": 0, "retMsg": "OK", "time": 1, "result": {"list": [{"accountType": "UNIFIED", "coin": coins}]}}


def _coinbase(request: _Handler) -> Key:
    """Check a signed request (Coinbase: HMAC keys; the query is signed in version 2 only)."""
    key = request.exchange.keys.get(request.header("CB-ACCESS-KEY"))
    stamp, path = request.header("CB-ACCESS-TIMESTAMP"), request.path
    path = path if path.startswith("/v2/") else urlsplit(path).path
    right = "" if key is None else _hex(key.secret, stamp + request.command + path)
    if key is None or not request.signed(request.header("CB-ACCESS-SIGN"), right):
        raise Refused(401, {"error": "unauthorized", "error_details": "Unauthorized"})
    if not key.reads:
        raise Refused(403, {"error": "PERMISSION_DENIED", "message": "Missing required scopes"})
    return key


def _coinbase_accounts(request: _Handler, _body: str) -> dict[str, object]:
    _coinbase(request)
    return {"pagination": {"limit": 250}, "data": []}


def _coinbase_permissions(request: _Handler, _body: str) -> dict[str, object]:
    return {"can_view": True, "can_trade": True, "can_transfer": _coinbase(request).withdraws}


def _kraken_balance(request: _Handler, body: str) -> dict[str, object]:
    """Check a signed request (Kraken: REST authentication), and answer it."""
    key = request.exchange.keys.get(request.header("API-Key"))
    if key is None:
        raise Refused(200, {"error": ["EAPI:Invalid key"]})
    nonce = parse_qs(body)["nonce"][0]
    message = request.path.encode() + hashlib.sha256((nonce + body).encode()).digest()
    right = base64.b64encode(hmac.digest(base64.b64decode(key.secret), message, "sha512")).decode()
    if not request.signed(request.header("API-Sign"), right):
        raise Refused(200, {"error": ["EAPI:Invalid signature"]})
    if not request.exchange.fresh(nonce):
        raise Refused(200, {"error": ["EAPI:Invalid nonce"]})
    if not key.reads:
        raise Refused(200, {"error": ["EGeneral:Permission denied"]})
    return {"error": [], "result": {"XXBT": {"balance": "1.5", "hold_trade": "0"}}}


_PATHS = {
    "/api/v3/account": _binance_account,
    "/sapi/v1/account/apiRestrictions": _binance_restrictions,
    "/v5/user/query-api": _bybit_key,
    "/v5/account/info": _bybit_info,
    "/v5/account/wallet-balance": _bybit_balance,
    "/v2/accounts": _coinbase_accounts,
    "/api/v3/brokerage/key_permissions": _coinbase_permissions,
    "/0/private/BalanceEx": _kraken_balance,
}


@contextmanager
def exchange() -> Iterator[Exchange]:
    """Run the stand-in."""
    made = Exchange()
    handler = type("Handler", (_Handler,), {"exchange": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.go_on.set()
            server.shutdown()
            thread.join()
