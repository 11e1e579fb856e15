"""Progress is for people: on stderr, and only where somebody looks."""

from __future__ import annotations

import sys

import pytest

from tradewarden.cli.progress import progress


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, terminal: bool
) -> None:
    """A bar is drawn on stderr of a terminal, never on stdout, and nowhere in a script."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress("Importing", 2) as advance:
        advance(1)
        advance(1)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("Importing" in err) is terminal
