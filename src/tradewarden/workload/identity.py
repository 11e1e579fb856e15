"""`ServiceIdentity`: a service's own certificate, kept fresh, and the TLS contexts that go with it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tradewarden.clock import SystemClock, system_randomness
from tradewarden.errors import ConfigurationError, TradewardenError, UnavailableError
from tradewarden.workload.contexts import Contexts, LiveContext
from tradewarden.workload.directory import IdentityDirectory
from tradewarden.workload.hook import Hook, HookRunner
from tradewarden.workload.keeper import LONGEST_SECONDS, Keeper, Periods
from tradewarden.workload.peer import peer as peer_rules
from tradewarden.workload.renewal import Renewal, Source
from tradewarden.workload.schedule import renewal_time

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from tradewarden.clock import Clock, Randomness
    from tradewarden.workload.pair import Pair

    Listener = Callable[[Pair], Awaitable[None] | None]

_LOG: Final = logging.getLogger("tradewarden.workload")
_START_SECONDS: Final = 30.0
_LEAST_SECONDS: Final = 0.05
CRL_SECONDS: Final = 60.0
STANDING_SECONDS: Final = 60.0


class ServiceIdentity:
    """Keeps a certificate fresh in `directory` and hands out contexts that follow it.

        async with ServiceIdentity("/var/lib/orders/identity", "https://tradewarden:8002",
                                   mtls_url="https://tradewarden:8443", join_token_file="/run/join-token") as identity:
            client = httpx.AsyncClient(verify=identity.client_context())

    `url` is the service's address, `mtls_url` that of its mTLS port, over which renewals prove the old key; without
    `mtls_url` they carry a signature by it. Without either, another process renews (`tradewarden ca renew --daemon`)
    and this one follows the directory. The first certificate takes a join token, given or in a file that is read at
    every try. `service_name`, when given, is the only name accepted. `on_change` is a command (argv, no shell) that
    runs after each change, for at most `hook_seconds`; `listen` adds Python callbacks. `check_revocation` asks the
    service for its revocation lists every minute, and within a second after a peer came whose CA's list is not held; it
    refuses peers that are revoked or below a revoked CA, and every peer with a CA above it whose list is not held or
    has lapsed. `roots_seconds` is how often the trust bundle is asked for. Once a minute the service is asked whether
    the certificate still counts; when it is revoked, or its CA is, or its root is gone, another one is due at once.

    All work is done in one thread, so a busy event loop delays no renewal; start it after a fork. Errors:
    `ConfigurationError`, and from the start `EnrolmentNeededError` or `UnavailableError` when there is no certificate.
    """

    def __init__(  # noqa: PLR0913 - one option each, all by name
        self,
        directory: str | Path,
        url: str = "",
        service_name: str = "",
        *,
        mtls_url: str = "",
        join_token: str = "",
        join_token_file: str | Path | None = None,
        ttl_hours: int | None = None,
        on_change: Sequence[str] = (),
        hook_seconds: float = 60.0,
        check_revocation: bool = False,
        roots_seconds: float = 3600.0,
        clock: Clock | None = None,
        randomness: Randomness = system_randomness,
    ) -> None:
        if isinstance(on_change, str):
            raise ConfigurationError("on_change is a list of arguments; no shell reads it")
        file = None if join_token_file is None else Path(join_token_file)
        source = Source(url, mtls_url, service_name, join_token, file, ttl_hours)
        self._clock = clock or SystemClock()
        self._check_revocation = check_revocation
        self._directory = IdentityDirectory(Path(directory))
        self._contexts = Contexts()
        self._hook = HookRunner(Hook(on_change, self._directory, hook_seconds), randomness)
        if check_revocation and not (url.startswith("https:") or mtls_url):
            raise ConfigurationError("check_revocation takes an https url or an mtls_url, where the lists come from")
        self._renewal = Renewal(source, self._directory, self._clock) if url or mtls_url else None
        periods = Periods(roots_seconds, CRL_SECONDS if check_revocation else 0.0, STANDING_SECONDS)
        self._keeper = Keeper(
            self._directory, self._renewal, self._contexts, periods, self._clock, randomness, self._has_changed
        )
        self._listeners: list[tuple[Listener, asyncio.AbstractEventLoop | None]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"ServiceIdentity({str(self._directory.path)!r})"

    async def start(self, seconds: float = _START_SECONDS) -> Self:
        """Have a certificate, within `seconds`, and keep it fresh from here on."""
        try:
            await asyncio.to_thread(self.open, seconds)
        except asyncio.CancelledError:
            self._stop.set()
            raise
        return self

    async def stop(self) -> None:
        """End the work; certificate and contexts stay as they are."""
        await asyncio.to_thread(self.close)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, seconds: float = _START_SECONDS) -> Self:
        """Do what `start` does, for callers without an event loop."""
        if self._thread is not None:
            raise ConfigurationError("This identity is started already")
        if self._renewal is not None:
            self._directory.prepare()
        self._stop.clear()
        wait = self._wait_until_usable(seconds)
        self._thread = threading.Thread(target=self._work, args=(wait,), name="tradewarden-identity", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Do what `stop` does, for callers without an event loop."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._hook.stop()

    def enroll(self) -> Pair:
        """Spend the join token for a certificate, once, in this very thread; raises what hindered, a hook's end too."""
        self._directory.prepare()
        pair = self._renewal_needed().enroll()
        self._hook.run(pair)
        return pair

    def renew(self, *, force: bool = False) -> bool:
        """Renew once in this very thread if it is time, or with `force`; return whether there is a new certificate.

        It is time, too, when the service says that the certificate counts no more. The trust bundle is refreshed in any
        case. Raises what hindered a renewal, and `HookError`.
        """
        self._directory.prepare()
        held = self._directory.read()
        renewal = self._renewal_needed()
        due = held is None or not held.anchored or self._clock.now() >= renewal_time(held.starts, held.ends, 0.5)
        if held is not None and not due and not force:
            told = renewal.standing(held)
            if not told:
                self._hook.run(self._with_fresh_roots(renewal, held))
                return False
            _LOG.warning("certificate %s of %s counts no more: %s", held.serial_number, held.spiffe_id, told)
        pair = renewal.obtain(held)
        if pair is None:
            raise UnavailableError(f"{self._directory.path} is being renewed by another process just now")
        self._hook.run(pair)
        return True

    @staticmethod
    def _with_fresh_roots(renewal: Renewal, held: Pair) -> Pair:
        """Have a rotation of the CA reach a host where no renewal is due; another time when the service is away."""
        try:
            found = renewal.roots(held)
            replaced = renewal.replace_roots(held, found) if found and found != held.roots_pem else None
        except TradewardenError as error:
            _LOG.warning("the trust bundle was not refreshed: %s", error.detail)
            return held
        return replaced or held

    def _renewal_needed(self) -> Renewal:
        if self._renewal is None:
            raise ConfigurationError("Give the url of the service")
        return self._renewal

    @property
    def held(self) -> Pair | None:
        """What is on disk, started or not; raises `ConfigurationError` or `IntegrityError` naming the file."""
        return self._directory.read()

    def refused(self) -> str:
        """Return why the service takes the certificate on disk no more; empty while it does, or when nobody says."""
        held = self._directory.read()
        return (held is not None and self._renewal_needed().standing(held)) or ""

    def run(self, stop: threading.Event) -> None:
        """Keep it fresh in this very thread until `stop` is set, whatever fails: what a daemon does."""
        self._directory.prepare()
        self._stop = stop
        try:
            self._work(0.0)
        finally:
            self._hook.stop()

    def _wait_until_usable(self, seconds: float) -> float:
        end = self._clock.monotonic() + seconds
        self._keeper.follow()
        if self._keeper.usable() and not self._keeper.lacks_lists():
            return 0.0
        while True:
            wait = self._keeper.step()
            if self._keeper.usable() and not self._stop.is_set():
                return wait
            left = end - self._clock.monotonic()
            if left <= 0 or self._stop.wait(max(_LEAST_SECONDS, min(wait, left))):
                raise self._keeper.error or ConfigurationError(
                    f"{self._directory.path} holds no certificate that is valid; who renews it?"
                )

    def _work(self, wait: float) -> None:
        while not self._stop.wait(max(_LEAST_SECONDS, wait) if wait else 0):
            try:
                wait = self._keeper.step()
            except Exception as error:  # noqa: BLE001 - the thread goes on, whatever it was
                wait = LONGEST_SECONDS
                known = isinstance(error, TradewardenError)
                text = error.detail if isinstance(error, TradewardenError) else type(error).__name__
                _LOG.error("keeping the certificate fresh failed, tried again: %s", text, exc_info=not known)

    @property
    def pair(self) -> Pair:
        """What holds now: key, chain and roots (PEM), and what the certificate says."""
        if self._keeper.pair is None:
            raise ConfigurationError("There is no certificate yet; start the identity first")
        return self._keeper.pair

    @property
    def error(self) -> TradewardenError | None:
        """Why the last try to renew failed; None since one succeeded."""
        return self._keeper.error

    def renews_at(self) -> float:
        """Return when it is renewed next, in seconds since the epoch."""
        return self._keeper.renews_at()

    def listen(self, listener: Listener) -> Listener:
        """Call this after each change with the new pair, and with the first; usable as a decorator.

        From a running event loop: it runs there, and may be a coroutine function. Else in the identity's own thread.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        self._listeners.append((listener, loop))
        return listener

    def client_context(
        self, *, pins: Collection[str] | None = None, peer: str | Collection[str] | None = None
    ) -> ssl.SSLContext:
        """Return a context for calls: our certificate, servers of our CA only, TLS 1.3.

        `pins` are base64 SHA-256 of SubjectPublicKeyInfo (RFC 7469); one must be in the server's verified chain.
        `peer` is the SPIFFE ID or service name that the server must have, or several; it replaces the check of the
        host's name.
        """
        rules = peer_rules(pins, peer, self.pair.trust_domain)
        return self._contexts.hand_out(LiveContext.client(rules, check_revocation=self._check_revocation))

    def server_context(
        self,
        *,
        require_client: bool = True,
        pins: Collection[str] | None = None,
        peer: str | Collection[str] | None = None,
    ) -> ssl.SSLContext:
        """Return a context for a listener: our certificate, TLS 1.3, no session tickets, clients of our CA only.

        `pins` and `peer` as for `client_context`, asked of the clients. `require_client=False` asks for no certificate.
        """
        rules = peer_rules(pins, peer, self.pair.trust_domain)
        if not require_client and any(rules):
            raise ConfigurationError("Rules for clients need their certificates: leave require_client on")
        made = LiveContext.server(
            rules, check_revocation=self._check_revocation and require_client, require_client=require_client
        )
        return self._contexts.hand_out(made)

    def _has_changed(self, pair: Pair) -> None:
        self._hook.changed(pair)
        for listener, loop in list(self._listeners):
            if loop is None:
                self._tell(listener, pair)
            else:
                with suppress(RuntimeError):  # the loop was closed
                    loop.call_soon_threadsafe(self._tell, listener, pair)

    def _tell(self, listener: Listener, pair: Pair) -> None:
        try:
            outcome = listener(pair)
            if inspect.iscoroutine(outcome):
                task = asyncio.get_running_loop().create_task(outcome)
                self._tasks.add(task)
                task.add_done_callback(self._told)
        except Exception:  # noqa: BLE001 - of others
            _LOG.exception("a listener for the new certificate failed")

    def _told(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("a listener for the new certificate failed", exc_info=task.exception())
