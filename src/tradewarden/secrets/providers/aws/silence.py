"""Keeps botocore from logging what it sends and gets: at DEBUG it writes both whole, and the secrets with them."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES: Final = ("botocore", "urllib3")
_asking = threading.local()


class _Silence(logging.Filter):
    """Drops what a thread logs below INFO while it asks for secrets; other uses of the library log as they like."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG or not getattr(_asking, "now", False)


_SILENCE: Final = _Silence()


@contextmanager
def silent() -> Iterator[None]:
    """Log nothing of a call at DEBUG. A filter holds for one logger and not for those below it, so each gets it."""
    for name in [each for each in list(logging.root.manager.loggerDict) if each.partition(".")[0] in _LIBRARIES]:
        logging.getLogger(name).addFilter(_SILENCE)  # once: the same filter is not added twice
    _asking.now = True
    try:
        yield
    finally:
        _asking.now = False
