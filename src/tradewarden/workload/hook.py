"""What is told of a change: a command of the operator's, run until it succeeds, and never in the way of a renewal.

The command is started without a shell, with an environment of a few names only, without standard input, in a session
of its own that is ended as a whole when the time limit has passed.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tradewarden.clock import rfc3339
from tradewarden.workload.errors import HookError
from tradewarden.workload.schedule import backoff, fraction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tradewarden.clock import Randomness
    from tradewarden.workload.directory import IdentityDirectory
    from tradewarden.workload.pair import Pair

_LOG: Final = logging.getLogger("tradewarden.workload")
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RETRY_WITHIN: Final = 2400.0
"""As if so many seconds were left: retries come up to five minutes apart."""


class Hook:
    """Runs one command after each change of the pair."""

    def __init__(self, argv: Sequence[str], directory: IdentityDirectory, seconds: float) -> None:
        self._argv = tuple(argv)
        self._directory = directory
        self._seconds = seconds

    def due(self, pair: Pair) -> bool:
        """Tell whether the command has not succeeded for this pair yet, in this process or an earlier one."""
        return bool(self._argv) and self._directory.announced() != pair.version

    def run(self, pair: Pair) -> None:
        """Run the command to its end; raises `HookError`."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own command, no shell, nothing of a caller in it
                self._argv,
                env=self._environment(pair),
                stdin=subprocess.DEVNULL,
                stdout=2,
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise HookError(f"{self._argv[0]} cannot be started ({error.strerror})") from error
        try:
            code = process.wait(self._seconds)
        except subprocess.TimeoutExpired:
            raise HookError(f"{self._argv[0]} did not end within {self._seconds:g} seconds and was killed") from None
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code != 0:
            raise HookError(f"{self._argv[0]} ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")
        self._directory.put_announced(pair.version)

    def _environment(self, pair: Pair) -> dict[str, str]:
        given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            "PATH": _PATH,
            **given,
            "TRADEWARDEN_IDENTITY_DIR": str(self._directory.path),
            "TRADEWARDEN_IDENTITY_VERSION_DIR": str(self._directory.folder(pair.version)),
            "TRADEWARDEN_IDENTITY_SPIFFE_ID": pair.spiffe_id,
            "TRADEWARDEN_IDENTITY_SERIAL_NUMBER": pair.serial_number,
            "TRADEWARDEN_IDENTITY_EXPIRES_AT": rfc3339(pair.ends),
        }


class HookRunner:
    """Runs the hook in a thread of its own for the newest pair, again with a growing wait while it fails."""

    def __init__(self, hook: Hook, randomness: Randomness) -> None:
        self._hook = hook
        self._randomness = randomness
        self._wake = threading.Condition()
        self._pair: Pair | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def changed(self, pair: Pair) -> None:
        """Have the command run for this pair, unless it was already."""
        if not self._hook.due(pair):
            return
        with self._wake:
            self._pair, self._stopped = pair, False
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tradewarden-hook", daemon=True)
                self._thread.start()
            self._wake.notify_all()

    def run(self, pair: Pair) -> None:
        """Run the command in this very thread, unless it was already; raises `HookError`."""
        if self._hook.due(pair):
            self._hook.run(pair)

    def stop(self) -> None:
        """Run nothing more; what runs just now is waited for, which its time limit bounds."""
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        failures, tried = 0, None
        while True:
            with self._wake:
                if self._pair is not None and self._pair is tried and not self._stopped:
                    self._wake.wait(backoff(failures, _RETRY_WITHIN, fraction(self._randomness)))
                while self._pair is None and not self._stopped:
                    self._wake.wait()
                if self._stopped or self._pair is None:
                    return
                tried = self._pair
            failures = 0 if self._run(tried) else failures + 1
            with self._wake:
                if not failures and self._pair is tried:
                    self._pair = None

    def _run(self, pair: Pair) -> bool:
        try:
            self._hook.run(pair)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it is tried again
            _LOG.warning("the command for a new certificate failed and is run again: %s", error)
            return False
        _LOG.info("the command for a new certificate was run")
        return True
