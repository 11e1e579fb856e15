"""A path for what only reads files, to bytes that no file system ever sees. OpenSSL takes certificates and keys so."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def memory_file(data: bytes) -> Iterator[str]:
    """Give a path to `data`, good within the block and in this process alone."""
    descriptor = os.memfd_create("tradewarden", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
