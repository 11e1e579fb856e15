"""Several recorders as one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradewarden.secrets.chain.access import Access, Recorder


class Recorders:
    """Hands every access to each in turn; the first that cannot record stops the answer.

    Put the audit log first, so that nothing is counted as given that was not.
    """

    def __init__(self, *each: Recorder) -> None:
        self._each = each

    def ready(self) -> None:
        """Raise `AuditUnavailableError` when one of them could not record."""
        for recorder in self._each:
            recorder.ready()

    def record(self, access: Access) -> None:
        """Record one access everywhere."""
        for recorder in self._each:
            recorder.record(access)

    def close(self) -> None:
        """Close all of them, also when one fails to."""
        with ExitStack() as stack:
            for recorder in self._each:
                stack.callback(recorder.close)
