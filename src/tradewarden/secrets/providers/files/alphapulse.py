"""AlphaPulse's own files, `<name>.enc`: one Fernet token each, of a text or a JSON object. Read, never written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tradewarden.errors import DecryptionError, IntegrityError
from tradewarden.secrets.providers.files.key import OLD_SUFFIX
from tradewarden.secrets.providers.files.reading import read_trusted
from tradewarden.secrets.providers.files.sealed import INCARNATION_BYTES, Kept, Record

if TYPE_CHECKING:
    from pathlib import Path

    from tradewarden.secrets.providers.files.key import FilesKey

_MAX_NAME: Final = 255
_MAX_BYTES: Final = 4 * 1024 * 1024
_INCARNATION: Final = "00" * INCARNATION_BYTES


def old_path(directory: Path, name: str) -> str:
    """Return where AlphaPulse kept a secret; empty for a name that it could not keep."""
    file = name + OLD_SUFFIX
    return "" if "/" in name or len(file) > _MAX_NAME else f"{directory}/{file}"


def read_old(key: FilesKey, path: str) -> Record | None:
    """Return an old file as a first version, None when there is none; `IntegrityError` for one that does not open."""
    raw = read_trusted(path, _MAX_BYTES) if path else None
    if raw is None:
        return None
    opened = _opened(key, raw)
    if opened is None:
        raise IntegrityError(
            f"{path} does not open: it is damaged, or was written under another key than {key.source}. "
            "Give the key it was written with, or restore it from a backup; nothing was changed",
            reason="not a Fernet token of this key, or not text",
        )
    return Record(_INCARNATION, (Kept(1, 0.0, opened),))


def _opened(key: FilesKey, raw: bytes) -> bytes | None:
    try:
        opened = key.fernet.open(raw)
        opened.decode()
    except (DecryptionError, UnicodeDecodeError):  # not handed on: the latter carries what it could not decode
        return None
    return opened
