"""One audit entry: what a request did, built up while it runs and recorded before its answer leaves.

Always true here: `Auditor.entry` wraps the whole of an action. On the way out an entry that no
transaction has committed goes to the journal, whatever happened inside (success, denial, error,
cancellation); if it cannot be recorded the action fails with `AuditUnavailableError`. The one exception
is a stranger's failure that is `counted`, so that a flood cannot fill the log (decision 9). A secret's
value, a token or a key never gets in: an entry has no field for one, and one of ours that a caller put
where a name belongs is masked, unless the call succeeded: then it is that name. A name that must not be
read (an unknown user, a mistyped path) is set as `Mac.hidden(field, value)` (decision 20).
"""

from __future__ import annotations

import re
from copy import copy
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from tradewarden.clock import Clock, rfc3339
from tradewarden.errors import (
    AuthenticationError,
    PermissionDeniedError,
    RateLimitedError,
    TradewardenError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from tradewarden.audit.seal import InboxSeal

MAX_NAME = 1024
MAX_REASON = 512
MAX_USER_AGENT = 256
_CREDENTIAL = re.compile(
    r"(?<![A-Za-z0-9_-])(?:(tw[asrj]_|eyJ)[A-Za-z0-9_-]{32,}|(eyJ)[A-Za-z0-9_-]{8,}\.)[A-Za-z0-9_.-]*"
)
"""A client secret, admin, refresh or join token of ours (a prefix, then 43 characters), or a JWT; a large piece too."""


class EventType(StrEnum):
    """What kind of thing happened."""

    AUTHENTICATION = "authentication"
    SECRET_ACCESS = "secret_access"  # noqa: S105
    TRADING_OPERATION = "trading_operation"
    CONFIGURATION_CHANGE = "configuration_change"
    API_ACCESS = "api_access"
    CERTIFICATE = "certificate"
    TOKEN = "token"  # noqa: S105
    KEY = "key"
    USER = "user"


class Result(StrEnum):
    """How it ended. `denied` means that a rule said no; `failure` that it did not work."""

    SUCCESS = "success"
    FAILURE = "failure"
    DENIED = "denied"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is written: one JSON object a line, in this order (contract of AlphaPulse, then ours).

    `rows` are SHA-256 digests (hex) of the sealed rows that a change wrote, tombstones too. `count`
    stands for so many like events. `boot`, `counter` and `sequence` are added when the log is numbered.
    """

    timestamp: str
    event_type: str
    user: str
    resource: str
    action: str
    result: str
    ip_address: str
    user_agent: str
    request_id: str
    reason: str = ""
    method: str = ""
    rows: tuple[str, ...] = ()
    count: int = 1


class Origin(msgspec.Struct, frozen=True):
    """Where a request came from, as far as it is proven: peer address, its user agent, the id we gave it."""

    ip_address: str = ""
    user_agent: str = ""
    request_id: str = ""


class Recorder(Protocol):
    """Where entries go that no transaction carries: the process's journal."""

    async def record(self, event: bytes) -> None:
        """Append one encoded event and return when it is written; raises `AuditUnavailableError`.

        The append itself happens before the first suspension, so a cancelled caller cannot prevent it.
        """
        ...


def masked(text: str) -> str:
    """Return a text in which what looks like a credential is cut down to its prefix: `tws_…`."""
    if "tw" in text or "eyJ" in text:
        return _CREDENTIAL.sub(r"\1\2…", text)
    return text


_encode = msgspec.json.Encoder().encode


def encode(event: Event) -> bytes:
    """Encode one event; a text that is no valid Unicode is written escaped, never refused."""
    try:
        return _encode(event)
    except UnicodeEncodeError:
        return _encode(msgspec.convert(_valid(msgspec.structs.asdict(event)), Event))


def _valid(fields: dict[str, object]) -> dict[str, object]:
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in fields.items()
    }


class Entry:
    """The entry of one action while it runs."""

    __slots__ = (
        "_auditor",
        "action",
        "committed",
        "count",
        "counted",
        "event_type",
        "method",
        "origin",
        "reason",
        "resource",
        "result",
        "user",
    )

    def __init__(self, auditor: Auditor, event_type: str, action: str, origin: Origin) -> None:
        self._auditor = auditor
        self.event_type = event_type
        self.action = action
        self.origin = origin
        self.user = ""
        self.resource = ""
        self.result = Result.SUCCESS
        self.reason = ""
        self.method = ""
        self.count = 1
        self.committed = False
        self.counted = False

    def draft(self, *rows: str) -> bytes:
        """Encode and seal the entry for a change's own transaction (`transaction.record`).

        `rows` are the digests of the rows it writes. The room notes by `commit` that it stands.
        """
        line = self.line(*rows)
        seal = self._auditor.seal
        return line if seal is None else seal.change(line)

    def line(self, *rows: str) -> bytes:
        """Encode the entry as one JSON object; what the caller chose is masked, and cut to its largest length."""
        origin = self.origin
        event = Event(
            rfc3339(self._auditor.clock.now()),
            self.event_type,
            self.user[:MAX_NAME],
            (self.resource if self.result is Result.SUCCESS else masked(self.resource))[:MAX_NAME],
            self.action,
            self.result,
            origin.ip_address,
            masked(origin.user_agent)[:MAX_USER_AGENT],
            origin.request_id,
            masked(self.reason)[:MAX_REASON],
            self.method,
            rows,
            self.count,
        )
        return encode(event)

    async def intend(self) -> None:
        """Record that the action is about to be done in a place that no transaction of ours reaches.

        Raises `AuditUnavailableError`; nothing may be done then. How it ends goes into the entry itself.
        """
        intent = copy(self)
        intent.action = f"{self.action}.intent"
        intent.reason = "about to be done; the outcome has the same request_id"
        await self._auditor.recorder.record(intent.line())

    def commit(self) -> None:
        """Note that the entry stands in the database, committed with the change it tells of."""
        self.committed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.counted:
            return
        if error is not None:
            failed = copy(self)  # a change that is still under way drafts its own entry from this one
            failed.fail(error)
            await self._auditor.recorder.record(failed.line())
        elif not self.committed:
            await self._auditor.recorder.record(self.line())

    def fail(self, error: BaseException) -> None:
        """Note how the action ended when it ended in an error."""
        denied = isinstance(error, AuthenticationError | PermissionDeniedError | RateLimitedError)
        self.result = Result.DENIED if denied else Result.FAILURE
        self.reason = error.reason if isinstance(error, TradewardenError) else type(error).__name__


class Auditor:
    """Opens entries. One a process, over the process's journal.

    `seal` protects a change's entry between its commit and its numbering; without one (tests) the
    sequencer will call every such entry a finding.
    """

    __slots__ = ("clock", "recorder", "seal")

    def __init__(self, recorder: Recorder, clock: Clock, seal: InboxSeal | None = None) -> None:
        self.recorder = recorder
        self.clock = clock
        self.seal = seal

    def entry(self, event_type: EventType, action: str, origin: Origin) -> Entry:
        """Return the entry of one action, to be used as `async with`."""
        return Entry(self, event_type.value, action, origin)
