"""Runs a page as one session at a terminal: what a block exports is there in the next one, for programs too.

Blocks of a language that a page's runner knows (`tests.support.pages`); `replaced` puts what is there in the place of
what a page names, such as the address of a server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.pages import Block, Page, checkout, free_port


class Session(Page):
    """One run of such a page."""

    replaced: Mapping[str, str]
    left_out: frozenset[str]
    """Marks (`<!-- run: vault -->`) of blocks that cannot run here."""

    def _filled(self, text: str) -> str:
        for documented, used in self.replaced.items():
            text = text.replace(documented, used)
        return text

    def _run(self, block: Block) -> None:
        if block.mark not in self.left_out:
            super()._run(block)

    def _program(self, command: list[str], text: str, folder: Path) -> str:
        if command[0] != "bash":
            text = f"python -W error - << 'END OF PROGRAM'\n{text}END OF PROGRAM\n"
        exported = ". ../exported 2> /dev/null || true\n"
        keep = "\nexport -p > ../exported\n"
        return super()._program(["bash", "-euo", "pipefail"], exported + text + keep, folder)


@contextmanager
def session(
    page: Path,
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stand_ins: Mapping[str, str] | None = None,
    replaced: Mapping[str, str] | None = None,
    left_out: frozenset[str] = frozenset(),
) -> Iterator[Session]:
    """Make a fresh checkout below `folder`, ready to run the page."""
    checked_out = folder / "checkout"
    checked_out.mkdir()
    with free_port() as port:
        run = Session(page, checkout(checked_out), port, stand_ins or {})
        run.replaced = replaced or {}
        run.left_out = left_out
        run.environment.update(environment or {})
        yield run
