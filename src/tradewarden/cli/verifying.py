"""Verifying and exporting the audit log beside the data directory, without a running service."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from tradewarden.cli.progress import progress
from tradewarden.cli.terminal import note
from tradewarden.errors import InvalidInputError

if TYPE_CHECKING:
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


async def verify_live(settings: Settings, public_key: bytes | None, kept: bytes | None) -> Report:
    """Verify the log in the data directory."""
    from tradewarden.app import open_for_reading
    from tradewarden.crypto.signers import Verifier

    verifier = None if public_key is None else Verifier.from_pem(public_key)
    async with open_for_reading(settings) as records:
        with progress("Verifying", None):
            return await records.verify(verifier, kept)


async def export_log(settings: Settings, directory: Path) -> int:
    """Write the log to a directory and return how many entries there are."""
    from tradewarden.app import open_for_reading

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with open_for_reading(settings) as records:
        with ExitStack() as stack, progress("Exporting", None) as advance:
            files: dict[str, BinaryIO] = {}
            written: dict[str, int] = defaultdict(int)

            def write(name: str, content: bytes) -> None:
                if name not in files:
                    files[name] = stack.enter_context((directory / name).open("xb"))
                files[name].write(content)
                count = content.count(b"\n") if name == _ENTRIES else 0
                written[name] += count
                advance(count)

            await records.export(write)
    return written[_ENTRIES]
