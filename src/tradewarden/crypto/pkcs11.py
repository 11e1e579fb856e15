"""Tokens that keep keys (PKCS#11 v2.40): one module, one login and one session a token in each process.

Always true here:

- A module is used by one thread at a time: it is initialised without a word about threads, so it need not lock itself.
- A process that was forked initialises anew before its first call (PKCS#11 usage guide, section 2.5.2).
- Whatever fails in a session, the module is closed with all its sessions, and opened anew at the next use. So a token
  that went away works again by itself when it is back, at most `_PAUSE_SECONDS` later.
- A PIN that a token refused is never given to it again by this process, and none is given for the last try or to a
  locked token: whoever holds the card decides about that.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from tradewarden.crypto.keyfile import read_private
from tradewarden.errors import ConfigurationError, ExtraMissingError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pkcs11
    from pkcs11._pkcs11 import lib as Library  # noqa: N812 - it is a class

    from tradewarden.settings.pkcs11 import TokenUri
    from tradewarden.settings.secret import Secret

T = TypeVar("T")

_PAUSE_SECONDS: Final = 1.0
_WAITS: Final = (0.02, 0.05, 0.15)
_LOCK_SECONDS: Final = 10.0
_MAX_PIN_BYTES: Final = 256
_modules: dict[Path, _Module] = {}
_registry = threading.Lock()


class Access(NamedTuple):
    """How this process gets at tokens: the module it loads (a shared library) and the PIN, unless a URI says other."""

    module: Path | None = None
    pin: Secret | None = None


NO_TOKENS: Final = Access()


class Token:
    """One token, named by a URI. Its methods may block: call them on a thread.

    No module is loaded before the first use. Raises `ConfigurationError` when the library for tokens is not installed.
    """

    __slots__ = ("_module", "_pin", "uri")

    def __init__(self, uri: TokenUri, access: Access) -> None:
        _require_library()
        path = uri.module_path or access.module
        if path is None:
            raise ConfigurationError(
                f"{uri.place} does not say which PKCS#11 module to load; set TRADEWARDEN_PKCS11_MODULE to its path, or"
                " add ?module-path= to the URI"
            )
        self.uri = uri.whole_token
        self._module = _module(path)
        self._pin = access.pin

    def __repr__(self) -> str:
        return f"Token({self.uri.place!r})"

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"token '{self.uri.token}'" if self.uri.token else f"token {self.uri.place}"

    def use(self, work: Callable[[pkcs11.Session], T], what: str, *, write: bool = False) -> T:
        """Return what `work` does in this process's session with the token, alone; `what` names it in messages.

        Raises `UnavailableError` when the token is away or fails, `ConfigurationError` when it does not let us in.
        `work` may run a second time, in a session that was opened anew.
        """
        return self._module.use(self, work, what, write=write)

    def require_present(self) -> None:
        """Raise `UnavailableError` when the token is away; changes nothing and uses no key."""
        self.use(lambda session: session.token.slot.get_token(), "its state")

    def pin(self) -> str:
        """Return the PIN; raises `ConfigurationError` when there is none."""
        source = self.uri.pin_source
        if source is not None:
            content = read_private(source, _MAX_PIN_BYTES)
            try:
                found = content.decode().rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise ConfigurationError(f"{source} holds no PIN: it is not UTF-8") from error
        else:
            found = self._pin.reveal() if self._pin else ""
        if not found:
            raise ConfigurationError(
                f"{self.name} needs a PIN; set TRADEWARDEN_PKCS11_PIN or TRADEWARDEN_PKCS11_PIN_FILE, or name its file"
                " with ?pin-source="
            )
        return found


def release() -> None:
    """Log out of every token and let every module go, before a fork or at the end; the next use opens anew."""
    with _registry:
        modules = list(_modules.values())
    for module in modules:
        module.release()


class _Module:
    """A loaded module and its sessions in this process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sessions: dict[TokenUri, pkcs11.Session] = {}
        self._refused: set[bytes] = set()
        self._failed: dict[TokenUri, tuple[float, str]] = {}
        self._salt = os.urandom(16)
        self._library: Library | None = None
        self._pid = 0
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forget_lock)

    def _forget_lock(self) -> None:
        # A thread that held it does not live on in the child.
        self._lock = threading.Lock()

    def use(self, token: Token, work: Callable[[pkcs11.Session], T], what: str, *, write: bool) -> T:
        with self._alone(token):
            self._pause(token, what)
            for wait in (*_WAITS, 0.0):
                try:
                    answer = self._run(self._session(token), work, write=write)
                except _errors() as error:
                    self._close()
                    if not wait:
                        raise self._fails(token, what, error) from error
                else:
                    self._failed.pop(token.uri, None)
                    return answer
                time.sleep(wait)  # a token may be busy with another process's login
            raise AssertionError  # the last wait is 0

    def release(self) -> None:
        if self._lock.acquire(timeout=_LOCK_SECONDS):  # else a call hangs, and ends with the process
            try:
                if self._pid == os.getpid():
                    self._close()
            finally:
                self._lock.release()

    @contextmanager
    def _alone(self, token: Token) -> Iterator[None]:
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            raise UnavailableError(f"The {token.name} does not answer; try again later", reason="PKCS#11 call hangs")
        try:
            yield
        finally:
            self._lock.release()

    @staticmethod
    def _run(session: pkcs11.Session, work: Callable[[pkcs11.Session], T], *, write: bool) -> T:
        if not write:
            return work(session)
        # The login is the token's, so a second session has it too (PKCS#11 v2.40 section 5.6).
        writing = session.token.open(rw=True)
        try:
            return work(writing)
        finally:
            with suppress(*_errors()):
                writing.close()

    # -- opening and closing -------------------------------------------------------------------

    def _session(self, token: Token) -> pkcs11.Session:
        if self._pid != os.getpid():
            self._close()  # the parent's sessions are not ours
        if token.uri not in self._sessions:
            self._sessions[token.uri] = self._open(token)
        return self._sessions[token.uri]

    def _pause(self, token: Token, what: str) -> None:
        """Leave a token alone for a moment after it failed."""
        if token.uri in self._failed:
            at, why = self._failed[token.uri]
            if time.monotonic() - at < _PAUSE_SECONDS:
                raise _away(token, what, why)

    def _open(self, token: Token) -> pkcs11.Session:
        import pkcs11

        if self._library is None or self._pid != os.getpid():
            self._library = self._load()
            self._pid = os.getpid()
        found = self._find(token.uri)
        pin = token.pin()
        mark = sha256(self._salt + found.serial + b"\0" + pin.encode()).digest()
        self._require_tries(token, found.flags, refused=mark in self._refused)
        try:
            return found.open(user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:
            return found.open()
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
            self._refused.add(mark)
            self._close()
            raise _refused(token) from error
        except (pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.UserPinNotInitialized) as error:
            self._close()
            raise ConfigurationError(
                f"The {token.name} lets nobody in ({type(error).__name__}); set its user PIN anew with its own tool"
            ) from error

    def _load(self) -> Library:
        import pkcs11

        try:
            library = pkcs11.lib(str(self._path))
            if self._pid != os.getpid() and library.initialized:
                with suppress(pkcs11.PKCS11Error):
                    library.finalize()
            library.initialize()
        except pkcs11.PKCS11Error as error:
            if not self._path.is_file():
                raise ConfigurationError(
                    f"The PKCS#11 module {self._path} is missing; install it, or set TRADEWARDEN_PKCS11_MODULE"
                ) from error
            if "OS exception" in str(error):
                raise ConfigurationError(f"{self._path} cannot be loaded as a PKCS#11 module") from error
            raise
        return library

    def _find(self, uri: TokenUri) -> pkcs11.Token:
        import pkcs11

        found = []
        for slot in self._library.get_slots(token_present=True) if self._library else ():
            with suppress(pkcs11.PKCS11Error):
                token = slot.get_token()
                if _fits(uri, slot.slot_id, token):
                    found.append(token)
        if not found:
            raise pkcs11.TokenNotPresent
        if len(found) > 1:
            raise ConfigurationError(f"{len(found)} tokens fit {uri.place}; add serial= or slot-id= to the URI")
        return found[0]

    @staticmethod
    def _require_tries(token: Token, flags: pkcs11.TokenFlag, *, refused: bool) -> None:
        import pkcs11

        if refused:
            raise _refused(token)
        if flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            raise ConfigurationError(f"The {token.name} is locked: a wrong PIN was given too often; unlock it")
        if flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
            raise ConfigurationError(
                f"The {token.name} has one try for its PIN left, which is not used up here; log in once with its own"
                " tool and the right PIN"
            )

    def _close(self) -> None:
        """Forget every session and let the module go; it may be in any state, or the parent's."""
        self._sessions.clear()
        library, self._library = self._library, None
        if library is not None and self._pid == os.getpid():
            with suppress(*_errors()):
                library.finalize()

    def _fails(self, token: Token, what: str, error: Exception) -> UnavailableError:
        self._failed[token.uri] = time.monotonic(), type(error).__name__
        return _away(token, what, type(error).__name__)


def _require_library() -> None:
    """Raise `ConfigurationError` when the library for tokens is not installed."""
    try:
        import pkcs11  # noqa: F401
    except ImportError as error:
        raise ExtraMissingError("Keys in a PKCS#11 token need python-pkcs11", "hsm") from error


def _module(path: Path) -> _Module:
    """Return the module at a path, the same one for the whole process: its login is the process's."""
    with _registry:
        if path not in _modules:
            _modules[path] = _Module(path)
        return _modules[path]


def _errors() -> tuple[type[Exception], ...]:
    try:
        from pkcs11 import PKCS11Error
    except ImportError:
        return ()
    return (PKCS11Error,)


def _away(token: Token, what: str, why: str) -> UnavailableError:
    """Return the error for a token that does not work; `why` is the name of the module's error: TokenNotPresent."""
    return UnavailableError(
        f"The {token.name} is away or fails ({why}), and {what} is needed from it; put it back, or try again later"
    )


def _refused(token: Token) -> ConfigurationError:
    return ConfigurationError(
        f"The {token.name} refused its PIN. It is not given to it again, so that the token does not lock; correct"
        " TRADEWARDEN_PKCS11_PIN or the file of pin-source"
    )


def _fits(uri: TokenUri, slot_id: int, token: pkcs11.Token) -> bool:
    asked = (
        (uri.token, token.label),
        (uri.serial, token.serial.decode("utf-8", "replace")),
        (uri.manufacturer, token.manufacturer_id),
        (uri.model, token.model),
    )
    return uri.slot_id in (None, slot_id) and all(not text or text == has.rstrip(" \0") for text, has in asked)
