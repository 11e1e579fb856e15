"""Asks Vault with a token that works, a few times where that is safe, and turns what goes wrong into our errors.

Always true here: only reads are tried again; a refusal (403) leads to one look at the token and at most one new login;
what is returned is Vault's own yes, or a 400 or 404 that the caller must read.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from hvac.api.system_backend.health import Health  # type: ignore[import-untyped]

from tradewarden.errors import TradewardenError
from tradewarden.secrets.providers.vault.faults import health_cause, may_pass, not_permitted, unavailable
from tradewarden.secrets.providers.vault.keeper import Keeper
from tradewarden.secrets.providers.vault.login import Logins
from tradewarden.secrets.providers.vault.transport import Line, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tradewarden.secrets.providers.vault.answers import Answer
    from tradewarden.secrets.providers.vault.config import VaultConfig

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_HEALTH_SECONDS: Final = 1.0


class _Process(NamedTuple):
    """What belongs to one process: connections and token."""

    pid: int
    line: Line
    logins: Logins
    keeper: Keeper


class Client:
    """One Vault, for all threads of a process; after a fork the child gets connections and a token of its own."""

    def __init__(self, config: VaultConfig, sleep: Callable[[float], None] = time.sleep) -> None:
        self.config = config
        self._sleep = sleep
        self._process = self._begin(None)

    def ask(self, call: Callable[[Transport], Answer], what: str, *, change: bool = False) -> Answer:
        """Make one call of hvac's over a transport with our token, and return the answer: 2xx, 400 or 404.

        `what` says in words what is asked: `read secret/data/alphapulse/a`. A `change` is not tried again. Raises
        `ProviderUnavailableError` and `ProviderRefusedError`.
        """
        process = self._here()
        token = process.keeper.token()
        answer = self._attempt(call, process, token, change=change)
        if answer.status == 403:  # noqa: PLR2004
            token = process.keeper.doubt(token, what)
            answer = self._attempt(call, process, token, change=change)
        if answer.good or answer.status in {400, 404}:
            return answer
        if answer.status == 403:  # noqa: PLR2004
            raise not_permitted(self.config.place, what)
        raise unavailable(answer, self.config.place, what, change=change)

    def fault(self) -> str:
        """Return why Vault cannot work for us just now, in words; empty when it can.

        Waits a second at most for a Vault that does not answer. Logs in where there is no token yet.
        """
        config = self.config
        seconds = min(_HEALTH_SECONDS, config.read_seconds)
        transport = Transport(config, self._here().line, namespace="", seconds=seconds)
        answer: Answer = Health(transport).read_health_status(method="GET")
        cause = health_cause(answer)
        if cause:
            return f"Vault at {config.place} is not available: {cause}"
        keeper = self._here().keeper
        try:
            keeper.token()
        except TradewardenError as error:
            return error.detail
        return keeper.fault

    def close(self) -> None:
        """End the token of our own login and close the connections."""
        process = self._process
        if process.pid == os.getpid():
            process.keeper.close()
            process.line.close()

    def _attempt(self, call: Callable[[Transport], Answer], process: _Process, token: str, *, change: bool) -> Answer:
        until = time.monotonic() + self.config.total_seconds
        transport = Transport(self.config, process.line, token)
        answer = call(transport)
        for attempt in range(0 if change else self.config.attempts - 1):
            pause = max(answer.retry_after, random.uniform(0.5, 1.0) * _FIRST_PAUSE * 4**attempt)  # noqa: S311
            if not may_pass(answer) or pause > _LONGEST_PAUSE or time.monotonic() + pause > until:
                break
            self._sleep(pause)
            answer = call(transport)
        return answer

    def _here(self) -> _Process:
        process = self._process
        if process.pid == os.getpid():
            return process
        self._process = process = self._begin(process.logins)
        return process

    def _begin(self, before: Logins | None) -> _Process:
        line = Line(self.config)
        logins = Logins(self.config, line, before.unwrapped if before is not None else None)
        return _Process(os.getpid(), line, logins, Keeper(logins, self.config.place))
