"""Structured logs: one JSON object a line with Elastic Common Schema names, or text, coloured on a terminal.

Always true here: logs go to standard error and nowhere else (collectors read it from there; standard output is for
what a command answers). A line never holds a secret: fields whose names tell of one are masked, and so is what looks
like a token or a private key. Of an exception stand its type, our `reason`, and the trace without locals; the text of
a foreign exception may quote data and is left out, except for those of the operating system. Text of callers is data:
never a format, and control characters are escaped.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import structlog

from tradewarden.clock import rfc3339
from tradewarden.log import Line, safe_reason, trace, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from structlog.typing import EventDict, Processor

Format = Literal["json", "console"]
MASK: Final = "[masked]"
_SECRET_NAME: Final = re.compile(
    r"authorization|cookie|credential|passphrase|password|private_?key|secret|\btoken\b|_token$|api_?key|jwt",
    re.IGNORECASE,
)
_SECRET_VALUE: Final = re.compile(
    r"eyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
    r"|tw[asrj]_[\w-]{32,}"
    r"|(?<=Bearer )\S+|(?<=Basic )[\w+/=-]{8,}"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST: Final = 2048
_DEEPEST: Final = 4
_SAME_LINES: Final = 5
_WINDOW_SECONDS: Final = 10.0
_KNOWN_LINES: Final = 512
_ECS: Final = {
    "event": "message",
    "level": "log.level",
    "logger": "log.logger",
    "request_id": "http.request.id",
    "action": "event.action",
    "address": "source.ip",
}


def configure(level: str = "INFO", format: Format = "json", stream: TextIO | None = None) -> None:  # noqa: A002
    """Send every log line of this process, ours and those of libraries, to standard error as `format` from `level` on.

    Called once a process, before the fork. `stream` is for tests.
    """
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.addFilter(Repeats())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_unfold, structlog.stdlib.add_logger_name, structlog.stdlib.add_log_level],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_chain(format, colors=_coloured(out)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = name != "uvicorn.access"
        library.setLevel(logging.NOTSET)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _coloured(stream: TextIO) -> bool:
    """Tell whether somebody looks at it who wants colours (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _chain(form: Format, *, colors: bool) -> list[Processor]:
    common: list[Processor] = [_stamp, _describe_error, _mask]
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(
            timestamp_key="@timestamp", colors=colors, exception_formatter=structlog.dev.plain_traceback
        )
        return [*common, _below, renderer]
    return [*common, _ecs, structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)]


class Repeats(logging.Filter):
    """Lets an identical line through five times in ten seconds and counts the rest; not what is for debugging."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._seen: dict[tuple[str, int, str, str], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record passes."""
        if record.levelno < logging.INFO:
            return True
        now = self._monotonic()
        key = _identity(record)
        state = self._seen.get(key)
        if state is None or now - state[0] >= _WINDOW_SECONDS:
            suppressed = int(state[1]) - _SAME_LINES if state else 0
            self._seen.pop(key, None)
            if len(self._seen) >= _KNOWN_LINES:
                del self._seen[next(iter(self._seen))]
            self._seen[key] = [now, 1]
            if suppressed > 0:
                _note(record, suppressed)
            return True
        state[1] += 1
        return state[1] <= _SAME_LINES


def _identity(record: logging.LogRecord) -> tuple[str, int, str, str]:
    """Return what makes lines identical: logger, level, the text before its arguments, the exception's type."""
    message = record.msg
    if isinstance(message, Line):
        return record.name, record.levelno, message.event[:_LONGEST], type(message.error).__name__
    text = str(message.get("event", "")) if isinstance(message, dict) else str(message)
    error = record.exc_info[0] if isinstance(record.exc_info, tuple) else None
    if isinstance(message, dict) and isinstance(message.get("exc_info"), BaseException):
        error = type(message["exc_info"])
    return record.name, record.levelno, text[:_LONGEST], error.__name__ if error else ""


def _note(record: logging.LogRecord, suppressed: int) -> None:
    if isinstance(record.msg, dict):
        record.msg = {**record.msg, "repeated": suppressed}
    elif isinstance(record.msg, Line):
        record.msg.fields["repeated"] = suppressed
    else:
        record.msg = f"{record.msg} (and {suppressed} more like this)"


def _unfold(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Give a line of the rooms its fields back."""
    line = event["_record"].msg
    if isinstance(line, Line):
        event.update(line.fields, event=line.event)
        if line.error is not None:
            event["exc_info"] = line.error
    return event


def _stamp(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {"@timestamp": rfc3339(time.time()), **event}


def _describe_error(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its type, its safe reason and its trace."""
    error = event.pop("exc_info", None)
    event.pop("stack_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error.type"] = type_name(error)
        event["error.message"] = safe_reason(error)
        event["error.stack_trace"] = trace(error)
    return event


def _mask(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {
        name: MASK if _SECRET_NAME.search(name) and not _flat(value) else _clean(value, name)
        for name, value in event.items()
    }


def _flat(value: object) -> bool:
    """Numbers and truth values tell nothing: `active_tokens=3` stays."""
    return isinstance(value, int | float | None)


def _clean(value: Any, name: str = "", depth: int = 0) -> Any:  # noqa: ANN401, PLR0911 - whatever was logged, one return a type
    if isinstance(value, str):
        text = _SECRET_VALUE.sub(MASK, value)
        if name == "error.stack_trace":
            return text
        return _CONTROL.sub(_escape, text[:_LONGEST])
    if _flat(value):
        return value
    if depth >= _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {
            str(key): MASK if _SECRET_NAME.search(str(key)) else _clean(item, depth=depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth=depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return _clean(str(value), name, depth + 1)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _ecs(_logger: object, _method: str, event: EventDict) -> MutableMapping[str, Any]:
    return {_ECS.get(name, name): value for name, value in event.items()} | {"service.name": "tradewarden"}


def _below(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Put the trace under the line, where a person reads it."""
    if "error.stack_trace" in event:
        event["exception"] = event.pop("error.stack_trace")
    return event
