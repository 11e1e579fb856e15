"""What the figures were measured on. Asked of the machine each time; nothing here is a constant."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("tradewarden", "cryptography", "uvicorn", "starlette", "msgspec")
_QUIET = 0.5
"""The load average below which a machine counts as idle."""


def facts(directory: Path, binaries: Mapping[str, Path]) -> dict[str, str]:
    """Return what stands beside the table, by name; `directory` is where the services keep their data."""
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{_memory_gb():.0f} GB",
        "system": f"{platform.system()} {platform.release()}, data on {_filesystem(directory)}",
        "python": f"{platform.python_version()}, {ssl.OPENSSL_VERSION} in ssl, {_own_openssl()} in cryptography",
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "wrk": _first_line("wrk", "-v"),
    } | {name: _first_line(str(binary), "version") for name, binary in binaries.items()}


def busy() -> Sequence[str]:
    """Return a warning when others were using the machine in the last minute; best asked before the load begins."""
    load = os.getloadavg()[0]
    if load < _QUIET:
        return ()
    return (f"The machine was busy before the measurement (load {load:.2f}): figures are low, ratios less sure.",)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _filesystem(directory: Path) -> str:
    return _first_line("stat", "-f", "-c", "%T", str(directory))


def _own_openssl() -> str:
    from cryptography.hazmat.backends.openssl.backend import backend

    return backend.openssl_version_text()


def _first_line(*command: str) -> str:
    """Return the first line that a program prints, whatever its exit status: `wrk -v` ends with 1."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown ({error})"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"
