"""Verifying and exporting the audit log beside the data directory, without a running service."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Self

from tradewarden.cli.progress import progress
from tradewarden.cli.terminal import note
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tradewarden.audit.examine import Report
    from tradewarden.settings import Settings

_PUBLIC_KEY, _ENTRIES = "public_key.pem", "entries.jsonl"
_MAX_KEY_BYTES = 4096


def verify_directory(directory: Path, public_key: bytes | None, kept: bytes | None) -> Report:
    """Verify an export; without a key from elsewhere the export's own is used, and that is said."""
    from tradewarden.audit.verify import verify_export
    from tradewarden.crypto.signers import Verifier

    if public_key is None:
        public_key = _own_key(directory)
        note("Verifying with the key that lies in the export itself; --public-key takes the one that you kept.")
    with progress("Verifying", None):
        return verify_export(directory, Verifier.from_pem(public_key), kept)


def _own_key(directory: Path) -> bytes:
    try:
        with (directory / _PUBLIC_KEY).open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise InvalidInputError(f"{directory} holds no {_PUBLIC_KEY}; is it an audit export?") from error


def verify_live(settings: Settings, public_key: bytes | None, kept: bytes | None) -> Report:
    """Verify the log in the data directory."""
    from tradewarden.crypto.signers import Verifier
    from tradewarden.records import open_for_reading

    verifier = None if public_key is None else Verifier.from_pem(public_key)

    async def verify() -> Report:
        async with open_for_reading(settings) as records:
            return await records.verify(verifier, kept)

    with progress("Verifying", None):
        return asyncio.run(verify())


def export_log(settings: Settings, directory: Path) -> int:
    """Write the log to a directory and return how many entries there are."""
    from tradewarden.records import open_for_reading

    with progress("Exporting", None) as advance, _Files(directory, advance) as files:

        async def export() -> None:
            async with open_for_reading(settings) as records:
                await records.export(files.write)

        asyncio.run(export())
    return files.entries


class _Files:
    """The files of an export, opened as they come; never over one that is there."""

    def __init__(self, directory: Path, advance: Callable[[int], None]) -> None:
        self._directory = directory
        self._advance = advance
        self._stack = ExitStack()
        self._files: dict[str, BinaryIO] = {}
        self.entries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, name: str, content: bytes) -> None:
        """Append to a file."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if name not in self._files:
            self._files[name] = self._stack.enter_context((self._directory / name).open("xb"))
        self._files[name].write(content)
        if name == _ENTRIES:
            lines = content.count(b"\n")
            self.entries += lines
            self._advance(lines)
