"""What is recorded, and what is still owed to the record.

Always true here: what was counted is kept until it is recorded, in its order; a recorder that fails in any way has not
recorded.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tradewarden.errors import AuditUnavailableError
from tradewarden.secrets.chain.tally import Tally

if TYPE_CHECKING:
    from tradewarden.clock import Clock
    from tradewarden.secrets.chain.access import Access, Recorder


class Books:
    """A recorder with a tally before it. Any thread may call."""

    def __init__(self, recorder: Recorder, clock: Clock, window_seconds: float) -> None:
        self._recorder = recorder
        self.tally = Tally(clock, window_seconds)
        self._owed: list[Access] = []
        self._settling = threading.Lock()

    def record(self, access: Access) -> None:
        """Record one access now; raises `AuditUnavailableError`."""
        try:
            self._recorder.record(access)
        except AuditUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a recorder that fails has not recorded
            raise AuditUnavailableError(
                "The access cannot be recorded", reason=f"the recorder failed ({type(error).__name__})"
            ) from None

    def settle(self) -> None:
        """Record all that was counted; raises `AuditUnavailableError`, and then the rest stays owed."""
        with self._settling:
            self._owed += self.tally.close_window()
            while self._owed:
                self.record(self._owed[0])
                del self._owed[0]
