"""Binds the listening sockets, once, and says who holds a port that is taken."""

from __future__ import annotations

import errno
import socket
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tradewarden.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BACKLOG: Final = 2048
_LISTENING: Final = "0A"
"""TCP_LISTEN in /proc/net/tcp, see proc(5)."""


class Port(Enum):
    """What a port is for."""

    API = "api"
    MUTUAL = "mutual"
    CA = "ca"
    """What verifiers of certificates fetch, in plain HTTP, and nothing else."""


class Place(NamedTuple):
    """Where one listener is to be; port 0 takes any free one. `setting` is the variable that chose the port."""

    host: str
    port: int
    setting: str = "SERVICE_PORT"


def bind_all(places: Iterable[Place]) -> list[list[socket.socket]]:
    """Return the listening sockets of each place, in order; a name is bound at all of its addresses.

    Raises `ConfigurationError` naming every place that cannot be had, and who has it.
    """
    found: list[list[socket.socket]] = []
    mistakes: list[str] = []
    for place in places:
        try:
            found.append(_bind(place.host, place.port))
        except OSError as error:
            mistakes.append(_explain(place, error))
    if mistakes:
        close_all(each for sockets in found for each in sockets)
        raise ConfigurationError(mistakes)
    return found


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close them; again is harmless."""
    for each in sockets:
        each.close()


def _bind(host: str, port: int) -> list[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            listening = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((address[0], port, *address[2:]))
            port = listening.getsockname()[1]
            listening.listen(_BACKLOG)
    except BaseException:
        close_all(sockets)
        raise
    return sockets


def _explain(wanted: Place, error: OSError) -> str:
    host, port, setting = wanted
    place = f"port {port} on {host}"
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        who = f" by {holder}" if holder else ""
        return f"{setting}: {place} is already in use{who}; stop that, or choose another port"
    if isinstance(error, socket.gaierror):
        return f"SERVICE_HOST: {host} is no address of this machine ({error.strerror})"
    return f"SERVICE_HOST: cannot listen at {place}: {error.strerror}"


def _holder(port: int) -> str:
    """Name the process that listens on a port, when /proc shows it to us (our own user's processes)."""
    try:
        wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
        for process in Path("/proc").glob("[0-9]*") if wanted else ():
            if _holds(process, wanted):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    except OSError:
        pass
    return ""


def _inodes(port: int) -> list[str]:
    found: list[str] = []
    for table in ("tcp", "tcp6"):
        path = Path("/proc/net") / table
        rows = path.read_text().splitlines()[1:] if path.exists() else []
        for row in rows:
            columns = row.split()
            if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                found.append(columns[9])
    return found


def _holds(process: Path, wanted: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in wanted for link in (process / "fd").iterdir())
    except OSError:
        return False
