"""What the rooms tell, as a program sees it that embeds them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.test_http_logs import lines, read
from tradewarden.errors import TokenError
from tradewarden.log import Log

__all__ = ["lines"]
PROGRAM = """
from tradewarden.log import Log
log = Log("tradewarden.room")
try:
    password = "s3cr3t"
    raise ValueError(password)
except ValueError as error:
    log.failure("work failed", error, order="7")
log.warning("falls behind", reason="disk full")
log.info("usual")
"""


def test_a_program_without_logs_of_its_own_sees_warnings_and_no_secret() -> None:
    """Standard output stays the program's; a trace has neither locals nor a foreign exception's text."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    first, *trace, last = done.stderr.splitlines()
    assert (first, last) == ("work failed (order='7')", "falls behind (reason='disk full')")
    assert trace[-1] == "ValueError"
    assert "s3cr3t" not in done.stderr


def test_fields_and_level_reach_a_program_s_own_handlers(caplog: pytest.LogCaptureFixture) -> None:
    """It goes by names and levels of Python's logging."""
    with caplog.at_level("INFO", logger="tradewarden"):
        Log("tradewarden.room").info("usual", number=3)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("tradewarden.room", "INFO", "usual (number=3)")
    assert record.funcName == "test_fields_and_level_reach_a_program_s_own_handlers"


def test_the_service_writes_them_as_its_own(lines: object) -> None:
    """Fields stand by themselves, the exception by type, reason and trace."""
    Log("tradewarden.room").failure("failed", TokenError("expired"), order="7", password="s3cr3t")
    (line,) = read(lines)  # type: ignore[arg-type]
    assert (line["message"], line["log.level"], line["log.logger"]) == ("failed", "error", "tradewarden.room")
    assert (line["order"], line["password"], line["error.message"]) == ("7", "[masked]", "expired")
    assert str(line["error.type"]).endswith("TokenError")


def test_a_flood_of_one_line_is_counted(lines: object) -> None:
    """The same text counts as the same line, whatever its fields say."""
    log = Log("tradewarden.room")
    for number in range(20):
        log.warning("disk full", attempt=number)
    assert [line["attempt"] for line in read(lines)] == [0, 1, 2, 3, 4]  # type: ignore[arg-type]
